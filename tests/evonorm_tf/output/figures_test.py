"""Figures by what they hold."""

import io
from xml.etree import ElementTree

from matplotlib import _pylab_helpers
from matplotlib.image import imread
import numpy as np
import pytest

from evonorm_tf.output import figures

pytestmark = pytest.mark.usefixtures('drawn_figures')


def test_png_has_the_size_in_inches():
  figure = figures.new_figure(2, 1.5)
  figures.style(figure.subplots())
  assert imread(io.BytesIO(figures.figure_to_png(figure))).shape == (1.5 * figures.DPI, 2 * figures.DPI, 4)
  assert not _pylab_helpers.Gcf.get_all_fig_managers()  # pyplot would keep it


def test_a_notebook_shows_a_figure():
  figure = figures.new_figure(2, 1.5)
  assert figure._repr_png_() == figures.figure_to_png(figure)


def test_percent():
  assert [figures.percent(x, 0) for x in (.7, .075, 1)] == ['70%', '7.5%', '100%']


def test_a_saved_figure_is_png_and_svg_and_the_same_again(tmp_path):
  contents = []
  for folder in ('a', 'b'):
    (tmp_path / folder).mkdir()
    figure = figures.new_figure(2, 1.5)
    figure.subplots().plot([1, 2], label='line')
    figures.save_figure(figure, tmp_path / folder / 'plot.png')
    contents.append([(tmp_path / folder / f'plot.{kind}').read_bytes() for kind in ('png', 'svg')])
    assert {p.name for p in (tmp_path / folder).iterdir()} == {'plot.png', 'plot.svg'}
  assert contents[0] == contents[1] and imread(io.BytesIO(contents[0][0])).shape[0] == 1.5 * figures.DPI
  assert ElementTree.fromstring(contents[0][1]).get('width') == '144pt'  # 2 inches


def test_the_inner_range_is_without_outliers():
  values = np.arange(20.)  # quartiles 4.75 and 14.25: outliers are beyond −33.25 and 52.25
  assert figures.inner_range(values) is None and figures.inner_range([*values, 54., -30.]) is None
  assert figures.inner_range([*values, 70., -50.]) == (0., 19.)
  assert figures.inner_range([1., 2., 3., 1000.]) is None  # too few to say
  assert figures.inner_range([1.] * 20 + [1000.]) is None


@pytest.mark.parametrize('both', [False, True])
def test_limits_without_outliers(both):
  points = [(float(i), float(i)) for i in range(20)] + [(5., 500.), (-400., 7.)]
  axes = figures.new_figure(3, 2).subplots()
  axes.plot(*zip(*points), 'o')
  before = axes.get_xlim()
  figures.leave_out_outliers(axes, points, both, kept=[(3., -2.)])
  marks = {line.get_marker(): line.get_xydata().tolist() for line in axes.lines[1:]}
  low, high = axes.get_ylim()
  assert -4 < low < -2 and 19 < high < 21  # all others, and what is kept
  if both:
    assert marks == {'^': [[5., high]], '<': [[axes.get_xlim()[0], 7.]]} and axes.get_xlim()[0] > -2
  else:
    assert marks == {'^': [[5., high]]} and axes.get_xlim() == before
