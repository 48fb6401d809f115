"""An extension of Griffe, which reads docstrings for the site, for what Markdown reads in another way than people do.

A section `Example:` holds code, as `Examples:` does, and a list may follow its sentence without an empty line.
"""

import re
from typing import Any

import griffe

_SENTENCE_AND_LIST = re.compile(r'(?m)^(\S.*:)\n(?=- )')


def for_markdown(docstring: str) -> str:
  """Returns a docstring with the sections and lists that Markdown needs.

  Args:
    docstring: the docstring, without indentation.
  """
  return _SENTENCE_AND_LIST.sub(r'\1\n\n', docstring.replace('\nExample:\n', '\nExamples:\n'))


class ExamplesAsCode(griffe.Extension):
  """Changes the docstrings before they are parsed."""

  def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
    """Is called with each object that has been read."""
    if obj.docstring is not None:
      obj.docstring.value = for_markdown(obj.docstring.value)
