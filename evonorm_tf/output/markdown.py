"""Markdown for reports: tables, and text shortened to fit into their cells."""

from collections.abc import Sequence
import re

_SPECIAL = re.compile(r'[\\|\[\]<>*~]|(?<![^\W_])_|_(?![^\W_])')  # `_` within a word is no markup
NO_VALUE = '–'
MAX_LENGTH = 200  # the greatest number of characters in a cell


def table(header: Sequence[str], rows: Sequence[Sequence]) -> str:
  """Returns a Markdown table, or `NO_VALUE`, a dash, if there are no rows.

  Args:
    header: the names of the columns.
    rows: the rows, each a sequence of cells, one per column. Cells are converted by `str`, shortened by `one_line` and
      shown as they are, but for what stands between backticks.
  """
  lines = [header, ['---'] * len(header), *rows] if rows else []
  cells = [[literal(one_line(str(cell))) for cell in line] for line in lines]
  return '\n'.join(f'| {" | ".join(line)} |' for line in cells) or NO_VALUE


def literal(text: str) -> str:
  """Returns Markdown that shows a text as it is: without links, tags or emphasis, and without an end of a table's cell.

  Args:
    text: any text. What stands between backticks is left as code.
  """
  parts = text.split('`')
  is_code = lambda number: number % 2 and number < len(parts) - 1
  return '`'.join(part.replace('|', r'\|') if is_code(number) else _SPECIAL.sub(r'\\\g<0>', part)
                  for number, part in enumerate(parts))


def one_line(text: str) -> str:
  """Returns a text as one line: white space becomes single spaces, and an ellipsis ends a text that must be shortened.

  Args:
    text: any text. The result has at most `MAX_LENGTH` characters.
  """
  text = ' '.join(text.split())
  return text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH - 1] + '…'
