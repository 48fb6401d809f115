"""The style that all plots share, and conversion of figures to PNG files.

Figures are made without pyplot, which would keep all of them in memory; searches and sweeps run for days.
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
  """Returns an empty white figure with an Agg canvas, at 120 dots per inch.

  Args:
    width: the width in inches.
    height: the height in inches.
    layout: the name of Matplotlib's layout engine, by default 'constrained'; None for none.
  """
  figure = Figure(figsize=(width, height), dpi=DPI, facecolor='white', layout=layout)
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
