"""Figures by what they hold."""

import io

from matplotlib import _pylab_helpers
from matplotlib.image import imread

from evonorm_tf.output import figures


def test_png_has_the_size_in_inches():
  figure = figures.new_figure(2, 1.5)
  figures.style(figure.subplots())
  assert imread(io.BytesIO(figures.figure_to_png(figure))).shape == (1.5 * figures.DPI, 2 * figures.DPI, 4)
  assert not _pylab_helpers.Gcf.get_all_fig_managers()  # pyplot would keep it


def test_percent():
  assert [figures.percent(x, 0) for x in (.7, .075, 1)] == ['70%', '7.5%', '100%']
