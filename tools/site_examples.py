"""An extension of Griffe, which reads docstrings for the site: a section `Example:` holds code, as `Examples:` does."""

from typing import Any

import griffe


class ExamplesAsCode(griffe.Extension):
  """Renames the sections before they are parsed."""

  def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
    """Is called with each object that has been read."""
    if obj.docstring is not None:
      obj.docstring.value = obj.docstring.value.replace('\nExample:\n', '\nExamples:\n')
