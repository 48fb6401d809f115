"""The study of the proxy's fidelity: scores against closed forms, the order of trainings, the file after a kill."""

import contextlib
import csv
import dataclasses
import json

import numpy as np
import pytest

from benchmarks.fidelity import layers
from benchmarks.fidelity import report
from benchmarks.fidelity import runs
from benchmarks.fidelity import scores
from benchmarks.fidelity.runs import Results
from benchmarks.fidelity.runs import Run
from evonorm_tf.graph.layer_graph import LayerGraph
from search.equivalence.affine_comparison import earlier_twins
from search.graphs.known_graphs import known_graph

NAMES = ['resnet 14', 'resnet 26', 'mobilenet_v2', 'efficientnet']
LAYERS = ['poor', 'fair', 'good', 'best']


def filled(path, short, long):
  """Results in which each layer has the same accuracy in all short trainings, and in all long ones."""
  results = Results(path)
  for i, layer in enumerate(LAYERS):
    while run := next(runs.pending([layer], NAMES, results, ()), None):
      accuracy = long[i] if run.is_long else short[i] + .01 * run.seed
      results.add(run, [(steps, accuracy, 1. + steps / 100) for steps in run.measured])
  return results


def test_a_proxy_with_one_inversion(tmp_path):
  results = filled(tmp_path / 'runs.csv', short=[.2, .1, .3, .4], long=[.5, .6, .7, .8])
  truth = scores.truth(LAYERS, NAMES, results)
  assert truth == pytest.approx(dict(zip(LAYERS, [.5, .6, .7, .8])))
  for proxy in scores.proxies(NAMES):
    score = scores.score(proxy, truth, ['good'], results)
    assert score.tau == pytest.approx(4 / 6)  # five of six pairs in order
    assert (score.upper, score.quarter) == (1., 1.)
    assert score.tau_interval[0] <= score.tau <= score.tau_interval[1]
    has_second_seed = (proxy.rates, proxy.cosine) in (((.1,), False), ((.2,), True)) and proxy.steps <= (
        200 if proxy.cosine else 400)
    assert (score.noise is not None) == has_second_seed
    assert score.noise is None or score.noise == pytest.approx(.01 / np.sqrt(2))
    # The start of each training, a second here, is not the search's, which keeps its networks.
    assert score.core_seconds == pytest.approx(len(proxy.networks) * len(proxy.rates) * proxy.steps / 100)
    assert score.passing == 1. and score.first == 1.


def test_screening_is_by_the_worst_network(tmp_path):
  results = filled(tmp_path / 'runs.csv', short=[.2, .1, .3, .4], long=[.5, .6, .7, .8])
  results.rows[Run('mobilenet_v2', 'best', .1, False, 0, 400), 100] = .15, 1.
  results.rows[Run('resnet 14', 'fair', .1, False, 0, 400), 100] = .05, 1.  # long training has no such network
  assert [scores.screening(layer, .1, NAMES, results) for layer in LAYERS] == [.2, .1, .3, .15]
  assert scores.screening('best', .2, NAMES, results) == .4


def test_the_truth_at_one_rate(tmp_path):
  results = filled(tmp_path / 'runs.csv', short=[.2, .1, .3, .4], long=[.5, .6, .7, .8])
  results.rows[Run('mobilenet_v2', 'best', .3, True, runs.LONG_SEEDS[0], runs.LONG_STEPS), runs.LONG_STEPS] = .2, 1.
  assert scores.truth_at_rate(.3, LAYERS, NAMES, results)['best'] == pytest.approx((.8 + .2 + .8) / 3)
  assert scores.truth_at_rate(.1, LAYERS, NAMES, results) == pytest.approx(dict(zip(LAYERS, [.5, .6, .7, .8])))


@pytest.mark.usefixtures('drawn_figures')
def test_tables_and_figure(tmp_path):
  results = filled(tmp_path / 'runs.csv', short=[.2, .1, .3, .4], long=[.5, .6, .7, .8])
  table = report.write(LAYERS, ['good'], NAMES, results, tmp_path)
  assert table.caption == 'Long training at one rate, one seed: τ 1.00 at 0.03, 1.00 at 0.1, 1.00 at 0.3'
  best, *_ = csv.DictReader((tmp_path / 'truth.csv').open())
  assert (best['layer'], best['mean'], best['least after 100 steps at 0.2']) == ('best', '0.8000', '0.400')
  assert len((tmp_path / 'proxies.csv').read_text().splitlines()) == 1 + len(scores.proxies(NAMES))
  assert (tmp_path / 'fidelity.png').stat().st_size > 10_000


def test_proxies_that_a_quality_test_blinds(tmp_path):
  results = filled(tmp_path / 'runs.csv', short=[.2, .25, .3, .4], long=[.5, .6, .7, .8])
  for steps in (100, 200, 400):
    results.rows[Run('mobilenet_v2', 'best', .2, False, 0, 400), steps] = .1, 5.
  truth = scores.truth(LAYERS, NAMES, results)
  blind, seeing = (scores.Proxy(('resnet 26', 'mobilenet_v2', 'efficientnet'), (rate,), False, 200)
                   for rate in (.2, .1))
  assert scores.score(blind, truth, LAYERS, results).passing == 0.
  assert scores.score(seeing, truth, LAYERS, results).passing == 1.
  assert scores.score(scores.Proxy(('resnet 26',), (.2,), False, 200), truth, LAYERS, results).passing == 1.


def test_proxies_are_many_and_none_ends_a_cosine_early():
  found = scores.proxies(NAMES)
  assert len(found) == len(set(found)) >= 12
  assert all(proxy.steps in run.measured and run.cosine == proxy.cosine
             for proxy in found for some in proxy.runs('layer', 0) for run in some)
  sets = {proxy.networks for proxy in found}
  assert {('resnet 26',), ('resnet 26', 'mobilenet_v2', 'efficientnet')} < sets


def test_the_expected_best_of_a_budget():
  # One candidate is as good as any; of two normal numbers the larger is 1/√π on average, of 100 it is 2.5076.
  for count, expected in ((1, 0.), (2, np.pi**-.5), (100, 2.5076)):
    seconds = scores.BUDGET / count - scores.OVERHEAD
    assert scores.expected_best(1., seconds) == pytest.approx(expected, rel=.05)
    np.testing.assert_allclose(scores.expected_best(np.array([1 / 3, 0.]), seconds), [expected / 2, 0.], rtol=.05)


def test_quarters_and_constants():
  values = np.arange(8.)
  assert scores.best_share(values, values) == 1.
  assert scores.best_share(values, -values) == 0.
  assert scores.best_share(np.array([0, 1, 2, 3, 4, 5, 7, 6.5, ]), np.array([0, 1, 2, 3, 4, 7, 5, 6.])) == .5
  assert scores.best_share(np.array([9., 5, 5, 5, 0, 0, 0, 0]), np.arange(8.)[::-1]) == (1 + 1 / 3) / 2
  assert scores.kendall(np.ones(4), np.arange(4.)) == 0.


def test_drawn_layers_against_scipy():
  rng = np.random.default_rng(0)
  values, true, draws = rng.integers(6, size=9), rng.normal(size=9), rng.integers(9, size=(20, 9))
  draws[0] = 3  # one layer alone
  expected = [scores.kendall(values[draw], true[draw]) for draw in draws]
  np.testing.assert_allclose(scores.drawn_kendall(values, true, draws), expected, atol=1e-12)


def test_the_second_seed_has_the_best_rate_of_the_first(tmp_path):
  results = Results(tmp_path / 'runs.csv')
  long = [run for run in runs.pending(['layer'], NAMES, results, ()) if run.is_long]
  assert len(long) == 9 and {run.seed for run in long} == {runs.LONG_SEEDS[0]}
  assert {run.network for run in long} == {'resnet 26', 'mobilenet_v2', 'efficientnet'}
  for run in long:
    results.add(run, [(runs.LONG_STEPS, {.03: .5, .1: .6, .3: runs.CHANCE}[run.rate], 60.)])
  again = [run for run in runs.pending(['layer'], NAMES, results, ()) if run.is_long]
  assert again == [dataclasses.replace(run, seed=runs.LONG_SEEDS[1]) for run in long if run.rate == .1]
  assert not runs.is_complete('layer', NAMES, results)
  assert not {run.seed for run in runs.short_runs('layer', NAMES)} & set(runs.LONG_SEEDS)


def opened(path):
  return contextlib.closing(Results(path))


def test_trainings_outlive_a_kill(tmp_path):
  path, points = tmp_path / 'runs.csv', [(100, .25, 1.), (200, .3, 2.), (400, .35, 4.)]
  run = Run('resnet 26', 'x / s[w,h,c]', .1, False, 0, 400)
  with opened(path) as results:
    results.add(run, points)
    with pytest.raises(SystemExit, match='in use by another process'):
      Results(path)
  with opened(path) as results:
    assert results.is_done(run) and results.accuracy(run, 200) == .3 and results.core_seconds == 4.
  for torn in (path.read_bytes()[:-3], b'network,la', b''):
    path.write_bytes(torn)
    with opened(path) as results:
      assert not results.is_done(run)
      results.add(run, points)
    with opened(path) as results:
      assert results.is_done(run) and results.core_seconds == 4.


def test_other_files_are_refused(tmp_path):
  (tmp_path / 'runs.csv').write_text('a,b\n1,2\n')
  with pytest.raises(SystemExit, match='expected the columns .* found'):
    Results(tmp_path / 'runs.csv')


def test_the_layers_are_thirty_and_no_twins():
  specs = layers.load()
  graphs = [spec for spec in specs.values() if isinstance(spec, LayerGraph)]
  known = [known_graph(spec) for spec in specs.values() if isinstance(spec, str) and spec not in (
      'ln_relu', 'pixel_norm_relu')]
  assert len(specs) == 30 and set(earlier_twins([*known, *graphs])) == {None}
  kinds = [entry['kind'] for entry in json.loads(layers.LAYERS.read_text())]
  assert kinds.count('found') >= 10 and set(kinds) == {'known', 'form', 'standardizing', 'mutant', 'found'}
