"""The style that all plots share, and figures as PNG files.

Figures are made without pyplot, which would keep every one of them in memory: searches and sweeps run for days.
"""

import io
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 120
INK = '#222222'
_GRID = '#e6e6e6'
Layout = Literal['constrained', 'compressed', 'tight']


def new_figure(width: float, height: float, layout: Layout | None = 'constrained') -> Figure:
  """Returns an empty figure on an Agg canvas.

  Args:
    width: in inches.
    height: in inches.
    layout: the layout engine, as Matplotlib's Figure takes it.
  """
  figure = Figure(figsize=(width, height), dpi=DPI, facecolor='white', layout=layout)
  FigureCanvasAgg(figure)
  return figure


def style(axes: Axes) -> None:
  """Gives axes a pale grid behind the data, and no frame."""
  axes.grid(color=_GRID, linewidth=0.8)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right']].set_visible(False)
  axes.tick_params(colors=INK, labelsize=9)


def percent(fraction: float, _: int) -> str:
  """Returns the label of a tick, a fraction as a percentage; the second argument, its position, is not used."""
  return f'{100 * fraction:g}%'


def figure_to_png(figure: Figure) -> bytes:
  """Returns the figure as a PNG file, e.g. for TensorBoard's image summaries."""
  file = io.BytesIO()
  figure.savefig(file, format='png')
  return file.getvalue()
