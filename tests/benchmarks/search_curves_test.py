"""What studies show of their searches: curves and rows against a hand count, a figure that is drawn."""

import numpy as np
import pytest

from benchmarks.studies import search_curves
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.graphs.known_graphs import known_graph
from search.journal.record import Record
from search.reporting.seed_bands import draw_band

TANH, ALIKE, B0 = LayerGraph((Node('tanh', (0,)),)), LayerGraph((Node('tanh', (0,)), Node('neg', (4,)))), known_graph(
    'evonorm_b0')  # −tanh(x) is tanh(x) up to γ


def search(*scores, seconds=2., graphs=None, parents=None):
  """A search whose candidates have these scores, None for one that was rejected."""
  count = len(scores)
  return [Record(stage='evolution', index=i, graph=graph, parent=parent, seconds={'total': seconds},
                 outcome='accepted' if score else 'rejected: quality', scores={'resnet': score} if score else {})
          for i, (score, graph, parent) in enumerate(zip(scores, graphs or [B0] * count, parents or [None] * count))]


@pytest.fixture(autouse=True)
def mean_of_two(monkeypatch):
  """The curves are of the two best instead of the ten."""
  monkeypatch.setattr(search_curves, 'TOP', 2)


def test_places_that_nobody_has_taken_count_as_chance():
  np.testing.assert_allclose(search_curves.top_curve(search(None, .2, .4, .3, None)), [.1, .1, .15, .3, .35, .35])
  np.testing.assert_allclose(search_curves.top_curve([]), [.1])


def test_rows():
  pareto, random, short = search_curves.rows({
      ('Pareto', '0'): search(None, .2, .4, .3, graphs=[B0, TANH, B0, ALIKE], parents=[None, None, 1, 1]),
      ('random', '0'): search(None, .3, seconds=1.5), ('random', '1'): search(.3, seconds=6.)})
  assert pareto == dict(
      setting='Pareto', seed='0', evaluated=4, accepted=3, random_evaluated=2, random_accepted=1, core_seconds='8',
      best='0.4000', ten_best='0.3500',
      ten_best_at_equal_core_seconds='0.1000', minus_random='-0.1000',  # one candidate, rejected, after 3 seconds
      candidate_of_tenth=3, core_seconds_of_tenth='6', functions=2, functions_of_ten_best=2,
      ten_best_functions='0.3250')  # .4, and the mean of .2 and .3
  assert random['ten_best'] == random['ten_best_at_equal_core_seconds'] == '0.2000'
  assert random['minus_random'] == '+0.0000' and random['candidate_of_tenth'] == ''
  assert short['ten_best_at_equal_core_seconds'] == '0.1000' and short['evaluated'] == short['random_accepted'] == 1
  empty, = search_curves.rows({('Pareto', '1'): []})
  assert empty['core_seconds'] == 0 and empty['ten_best'] == '0.1000' and empty['best'] == empty['minus_random'] == ''


@pytest.mark.parametrize('by_seconds, end', [(False, 3), (True, 6.)])
def test_bands(by_seconds, end):
  class Axes:
    """Keeps what is drawn."""

    def plot(self, x, y, **look):
      self.line = x, y

    def fill_between(self, x, low, high, **look):
      self.band = low, high

  axes = Axes()
  searches = [search(None, .2, .4, .6), search(.5, .3, .2)]
  assert draw_band(axes, searches, by_seconds, 'label', 'red', search_curves.top_curve) == end
  x, mean = axes.line
  assert x[0] == 0 and mean[0] == pytest.approx(.1)
  at = lambda share: np.searchsorted(x, share * end + 1e-9) - 1
  np.testing.assert_allclose(mean[[at(.5), at(1.)]], [(.1 + .3) / 2, (.3 + .4) / 2])
  np.testing.assert_allclose([edge[at(.5)] for edge in axes.band], [.1, .3])


@pytest.mark.usefixtures('drawn_figures')
def test_figure(tmp_path):
  known = Record(stage='reference', name='bn_relu', outcome='accepted', scores={'resnet': .35})
  search_curves.draw({'Pareto': [search(.2, .3), search(.1, .4)], 'random': [search(.1, .2)]}, tmp_path / 'figure.png',
                     [known], initial=1)
  assert (tmp_path / 'figure.png').stat().st_size > 10_000
