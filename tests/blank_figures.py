"""Figures that are saved without being drawn, which takes most of the time of tests that write reports."""

from collections.abc import Iterator
import contextlib

from matplotlib.figure import Figure
import pytest

_DRAW = Figure.draw


@contextlib.contextmanager
def blank_figures() -> Iterator[None]:
  """Within it, the files of figures have their kind and size, and show nothing."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(Figure, 'draw', lambda self, renderer: None)
    yield


@contextlib.contextmanager
def drawn_figures() -> Iterator[None]:
  """Within it, figures are drawn, also within `blank_figures`."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(Figure, 'draw', _DRAW)
    yield
