"""What studies show of searches: bands over seeds against a hand count, rows of searches, a figure that is drawn."""

import numpy as np
import pytest

from benchmarks.studies import search_curves
from search.graphs.known_graphs import known_graph
from search.journal import records
from search.journal import tally
from search.journal.record import Record
from search.reporting import plots
from search.reporting.seed_bands import top_band


def search(*scores, seconds=2.):
  """A search whose candidates have these scores, None for one that was rejected."""
  return [Record(stage='evolution', index=i, graph=known_graph('evonorm_s0'),
                 outcome='accepted' if score else 'rejected: quality', scores={'resnet': score} if score else {},
                 seconds={'total': seconds}) for i, score in enumerate(scores)]


@pytest.fixture(autouse=True)
def mean_of_two(monkeypatch):
  """The curves are of the two best instead of the ten."""
  for module in (plots, records, tally):
    monkeypatch.setattr(module, 'TOP', 2)


@pytest.mark.parametrize('by_seconds, end', [(False, 3), (True, 6.)])
def test_bands_end_with_the_shortest_search(by_seconds, end):
  x, scores = top_band([search(None, .2, .4, .6), search(.1, .3, .2)], by_seconds)
  assert x[0] == 0 and x[-1] == end and scores.shape == (2, len(x))
  np.testing.assert_allclose(scores[:, -1], [.3, .25])  # of .2 and .4; of .3 and .2
  second = np.searchsorted(x, 2 * end / 3)
  assert np.isnan(scores[:, second - 1]).all()
  assert np.isnan(scores[0, second]) and scores[1, second] == pytest.approx(.2)


def test_rows_and_figure(tmp_path):
  pareto, random, short = search_curves.rows({
      ('Pareto', '0'): search(None, .2, .4), ('random', '1'): search(None, None), ('random', '2'): search(.1, .3)})
  assert pareto == dict(setting='Pareto', seed='0', evaluated=3, accepted=2, core_seconds='6', best='0.4000',
                        mean_of_ten_best='0.3000', mean_of_ten_best_at_equal_core_seconds='')  # one score after 4
  assert random['best'] == random['mean_of_ten_best_at_equal_core_seconds'] == ''
  assert short['mean_of_ten_best_at_equal_core_seconds'] == '0.2000'
  assert search_curves.rows({('random', '1'): []})[0]['core_seconds'] == 0
  search_curves.draw({'Pareto': [search(.2, .3), search(.1, .4)], 'random': [search(.1, .2)]}, tmp_path / 'figure.png')
  assert (tmp_path / 'figure.png').stat().st_size > 10_000
