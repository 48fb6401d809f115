"""Markdown for reports: tables, and text that fits into their cells."""

from collections.abc import Sequence

NO_VALUE = '–'
MAX_LENGTH = 200  # characters of a cell


def table(header: Sequence[str], rows: Sequence[Sequence]) -> str:
  """Returns a Markdown table, or a dash if there are no rows.

  Args:
    header: the names of the columns.
    rows: the cells of each row, which `str` turns into text.
  """
  lines = [header, ['---'] * len(header), *rows] if rows else []
  cells = [[one_line(str(cell)).replace('|', r'\|') for cell in line] for line in lines]
  return '\n'.join(f'| {" | ".join(line)} |' for line in cells) or NO_VALUE


def one_line(text: str) -> str:
  """Returns the text in one line of at most `MAX_LENGTH` characters."""
  text = ' '.join(text.split())
  return text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH - 1] + '…'
