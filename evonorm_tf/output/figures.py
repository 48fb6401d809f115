"""The style that all plots share, limits that an outlier does not stretch, and figures as PNG and SVG files.

Figures are made without pyplot, which would keep all of them in memory; searches and sweeps run for days.
"""

from collections.abc import Sequence
import io
import os
import pathlib
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np

from evonorm_tf.output.model_dir import replacing

DPI = 120
INK = '#222222'
_GRID = '#e6e6e6'
_OUTSIDE = '#8a8a8a'
_FEW, _FAR = 8, 4.  # points with too few others to be outliers; distance from the quartiles, in their distance
Layout = Literal['constrained', 'compressed', 'tight']


class NotebookFigure(Figure):
  """A figure that a notebook shows, also where pyplot has not been imported."""

  def _repr_png_(self) -> bytes:
    return figure_to_png(self)


def new_figure(width: float, height: float, layout: Layout | None = 'constrained') -> Figure:
  """Returns an empty white figure with an Agg canvas, at 120 dots per inch.

  Args:
    width: the width in inches.
    height: the height in inches.
    layout: the name of Matplotlib's layout engine, by default 'constrained'; None for none.
  """
  figure = NotebookFigure(figsize=(width, height), dpi=DPI, facecolor='white', layout=layout)
  FigureCanvasAgg(figure)
  return figure


def style(axes: Axes) -> None:
  """Gives axes the common style: a pale grid behind the data, and no frame at the top and right.

  Args:
    axes: the Matplotlib axes, which are changed in place.
  """
  axes.grid(color=_GRID, linewidth=0.8)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right']].set_visible(False)
  axes.tick_params(colors=INK, labelsize=9)


def percent(fraction: float, _: int) -> str:
  """Formats the value of a tick as a percentage; a formatter for a Matplotlib axis.

  Args:
    fraction: the value of the tick, such as 0.25, which gives '25%'.
    _: the position of the tick, which is not used.
  """
  return f'{100 * fraction:g}%'


def figure_to_png(figure: Figure) -> bytes:
  """Returns the content of a PNG file that shows a figure, for a file or for TensorBoard's image summaries.

  Args:
    figure: the Matplotlib figure.
  """
  file = io.BytesIO()
  figure.savefig(file, format='png')
  return file.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
  """Writes a figure to a PNG file and, beside it, to an SVG file, each atomically.

  The SVG file is the same for the same figure, without a date.

  Args:
    figure: the Matplotlib figure.
    path: the PNG file, which ends in .png; the other one ends in .svg. Existing files are replaced.

  Raises:
    OSError: if a file cannot be written.
  """
  png = pathlib.Path(path)
  with replacing(png) as unfinished:
    unfinished.write_bytes(figure_to_png(figure))
  with replacing(png.with_suffix('.svg')) as unfinished, matplotlib.rc_context({'svg.hashsalt': png.stem}):
    figure.savefig(unfinished, format='svg', metadata={'Date': None})


def inner_range(values: Sequence[float]) -> tuple[float, float] | None:
  """Returns the lowest and the highest value without outliers, which a plot shows at its edge.

  An outlier is further from the quartiles than four times their distance. Among fewer than eight values, or values half
  of which are equal, there is none.

  Args:
    values: finite numbers.

  Returns:
    The range of the others; None if there are no outliers.
  """
  if len(values) < _FEW:
    return None
  numbers = np.asarray(values, float)
  low, high = np.quantile(numbers, [.25, .75])
  is_inner = np.abs(numbers - np.clip(numbers, low, high)) <= _FAR * (high - low)
  return None if is_inner.all() or low == high else (float(numbers[is_inner].min()), float(numbers[is_inner].max()))


def leave_out_outliers(axes: Axes, points: Sequence[tuple[float, float]], both: bool = False,
                       kept: Sequence[tuple[float, float]] = ()) -> None:
  """Sets limits that outliers do not stretch, and marks each with a triangle at the edge, which the legend explains.

  Without outliers it changes nothing. It is called after everything is drawn, but before the legend.

  Args:
    axes: the Matplotlib axes.
    points: the x and y of the points drawn, finite.
    both: whether x has outliers, too (default False: y alone).
    kept: further points, which are to be within the limits (default: none).
  """
  outside: dict[int, str] = {}  # the point's number -> its marker
  for axis, markers in [(1, 'v^'), (0, '<>')][:1 + both]:
    values = [point[axis] for point in points]
    if (inner := inner_range(values)) is None:
      continue
    within = [*inner, *(point[axis] for point in kept)]
    low, high, margin = min(within), max(within), .06 * (max(within) - min(within))
    (axes.set_xlim if axis == 0 else axes.set_ylim)(low - margin, high + margin)
    outside |= {i: markers[value > high] for i, value in enumerate(values) if not low <= value <= high}
  (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
  label = f'beyond the axes ({len(outside)})'
  for marker in sorted(set(outside.values())):
    x, y = zip(*(points[i] for i, its in outside.items() if its == marker))
    axes.plot(np.clip(x, left, right), np.clip(y, low, high), marker, color=_OUTSIDE, markersize=6, clip_on=False,
              scalex=False, scaley=False, label=label)
    label = '_' + label.lstrip('_')  # once in the legend
