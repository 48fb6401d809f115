"""How well short trainings put layers into the order of long ones: the proxies of the study, and their scores."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
import statistics
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks.fidelity.runs import DEPTHS
from benchmarks.fidelity.runs import long_networks
from benchmarks.fidelity.runs import LONG_SEEDS
from benchmarks.fidelity.runs import LONG_STEPS
from benchmarks.fidelity.runs import Results
from benchmarks.fidelity.runs import Run
from benchmarks.fidelity.runs import SHORT

SCREENING_STEPS = 100  # before the quality test of searches
MIN_ACCURACY = .2  # of that test
BUDGET = 9000  # core-seconds of a search: 75 minutes on two cores
# Core-seconds for each candidate that is accepted: those that are rejected, the stability test, the cost. Of 1,198 in
# the first search of `results/exploration`, 800 went into its 28 accepted candidates.
OVERHEAD = 14
_DRAWS = 2000  # of layers, with replacement, for an interval
_LEVEL = .9  # of the interval
# The two rates of which a proxy takes the better.
_RATES = ((.05, .2), (.1, .2))


@dataclasses.dataclass(frozen=True, order=True)
class Proxy:
  """A proxy: short trainings, the mean accuracy of which is a layer's score.

  Attributes:
    networks: the networks, of which the mean is taken.
    rates: the learning rates, of which the better is taken in each network.
    cosine: whether the rate falls to 0.
    steps: the number of steps.
  """
  networks: tuple[str, ...]
  rates: tuple[float, ...]
  cosine: bool
  steps: int

  def runs(self, layer: str, seed: int) -> list[list[Run]]:
    """Returns the trainings of a layer, those at each rate for each network; none where the study has none.

    Args:
      layer: the layer's name.
      seed: the seed.
    """
    lengths = {(rate, cosine, s): length for rate, cosine, s, length in sorted(SHORT)
               if (length == self.steps if cosine else length >= self.steps)}
    keys = [(rate, self.cosine, seed) for rate in self.rates]
    if not all(key in lengths for key in keys):
      return []
    return [[Run(network, layer, *key, lengths[key]) for key in keys] for network in self.networks]

  def __str__(self) -> str:
    schedule = 'cosine' if self.cosine else 'constant'
    networks = self.networks[0] + (f' and {len(self.networks) - 1} others' if len(self.networks) > 1 else '')
    return f'{" or ".join(f"{rate:g}" for rate in self.rates)}, {schedule}, {self.steps}: {networks}'


class Score(NamedTuple):
  """The scores of a proxy.

  Attributes:
    tau: Kendall's τ to the truth.
    tau_interval: its bootstrap interval over layers.
    upper: τ over the better half of the layers by the truth.
    upper_interval: its bootstrap interval.
    quarter: the share of the true best quarter that the proxy has in its best quarter.
    passing: the share of the true best quarter that a quality test would let through: with an accuracy of
      `MIN_ACCURACY` in each network, after `SCREENING_STEPS` steps or, with a cosine, at the end.
    noise: the standard deviation over seeds of a layer's score; None with one seed.
    other_tau: τ with the second seed of the proxy; None with one seed.
    core_seconds: what training a candidate costs that passes, the mean over the layer graphs, without the start that a
      search, which keeps its networks, has once.
    best: what a search of `BUDGET` core-seconds can hope for; see `expected_best`.
    first: the share of draws of layers in which `best` is the highest of all proxies.
  """
  tau: float
  tau_interval: tuple[float, float]
  upper: float
  upper_interval: tuple[float, float]
  quarter: float
  passing: float
  noise: float | None
  other_tau: float | None
  core_seconds: float
  best: float
  first: float = 1.


def proxies(names: Sequence[str]) -> list[Proxy]:
  """Returns all proxies that the short trainings tell of.

  Args:
    names: the keys of `runs.networks`.
  """
  shallow, deep = (f'resnet {depth}' for depth in DEPTHS)
  others = [name for name in names if name not in (shallow, deep)]
  sets = [(name,) for name in names] + [(resnet, *others) for resnet in (shallow, deep)]
  settings = {(rate, cosine, steps) for rate, cosine, _, length in SHORT
              for steps in ((length,) if cosine else (100, 200, 400))}
  single = [((rate,), cosine, steps) for rate, cosine, steps in sorted(settings)]
  better = [(rates, cosine, steps) for rates in _RATES for cosine in (False, True) for steps in (200, 400)]
  found = [Proxy(networks, *setting) for networks, setting in itertools.product(sets, single + better)]
  return [proxy for proxy in found if proxy.runs('', 0)]


def truth(layers: Sequence[str], names: Sequence[str], results: Results) -> dict[str, float]:
  """Returns the mean accuracy of each layer over networks and seeds after long training.

  Args:
    layers: the layers' names, with all trainings done.
    names: the keys of `runs.networks`.
    results: the trainings.
  """
  return {layer: statistics.fmean(results.accuracy(run) for name in long_networks(names)
                                  for run in results.best_long(layer, name)) for layer in layers}


def truth_at_rate(rate: float, layers: Sequence[str], names: Sequence[str], results: Results) -> dict[str, float]:
  """Returns the mean accuracy of each layer over networks after long training at one rate, with the first seed.

  Args:
    rate: one of `runs.LONG_RATES`.
    layers, names, results: as for `truth`.
  """
  return {layer: statistics.fmean(results.accuracy(Run(name, layer, rate, True, LONG_SEEDS[0], LONG_STEPS))
                                  for name in long_networks(names)) for layer in layers}


def screening(layer: str, rate: float, names: Sequence[str], results: Results) -> float:
  """Returns the least accuracy of a layer over networks after 100 steps at a constant rate: a quality test sees it.

  Args:
    layer: the layer's name.
    rate: the learning rate, one of those of `runs.SHORT`.
    names, results: as for `truth`.
  """
  proxy = Proxy(tuple(long_networks(names)), (rate,), False, SCREENING_STEPS)
  return min(results.accuracy(run, SCREENING_STEPS) for (run,) in proxy.runs(layer, 0))


def proxy_scores(proxy: Proxy, layers: Sequence[str], results: Results, seed: int) -> dict[str, float] | None:
  """Returns the score of each layer by a proxy; None if there are no such trainings.

  Args:
    proxy: the proxy.
    layers, results: as for `truth`.
    seed: the seed.
  """
  runs = {layer: proxy.runs(layer, seed) for layer in layers}
  if not all(runs.values()) or not all((run, proxy.steps) in results.rows
                                       for some in runs.values() for each in some for run in each):
    return None
  return {layer: statistics.fmean(max(results.accuracy(run, proxy.steps) for run in each) for each in some)
          for layer, some in runs.items()}


def score_all(some: Sequence[Proxy], expected: Mapping[str, float], graphs: Sequence[str], results: Results
              ) -> dict[Proxy, Score]:
  """Returns the scores of proxies, those compared with each other included.

  Args:
    some: the proxies.
    expected, graphs, results: as for `score`.
  """
  scores = {proxy: score(proxy, expected, graphs, results) for proxy in some}
  true = np.array(list(expected.values()))
  draws = _draws(len(true))
  best = np.array([expected_best(drawn_kendall(_values(proxy, list(expected), results, 0), true, draws),
                                 scores[proxy].core_seconds) for proxy in some])
  firsts = np.bincount(best.argmax(0), minlength=len(some)) / len(draws)
  return {proxy: scores[proxy]._replace(first=float(first)) for proxy, first in zip(some, firsts)}


def score(proxy: Proxy, expected: Mapping[str, float], graphs: Sequence[str], results: Results) -> Score:
  """Returns the scores of a proxy.

  Args:
    proxy: the proxy.
    expected: the truth, by layer.
    graphs: the layers that are graphs, which the search's machinery trains as it trains candidates.
    results: the trainings.
  """
  layers = list(expected)
  true = np.array([expected[layer] for layer in layers])
  values, *others = [v for seed in (0, 1) if (v := _values(proxy, layers, results, seed)) is not None]
  upper = true >= np.median(true)
  noise = float(np.sqrt(np.mean((values - others[0]) ** 2) / 2)) if others else None
  tau, seconds = kendall(values, true), core_seconds(proxy, graphs, results)
  best_quarter = np.array(layers)[np.argsort(-true)[:_quarter(len(true))]]
  passing = statistics.fmean(_passes(proxy, layer, results) for layer in best_quarter)
  return Score(tau, interval(values, true), kendall(values[upper], true[upper]), interval(values[upper], true[upper]),
               best_share(values, true), passing, noise, kendall(others[0], true) if others else None, seconds,
               expected_best(tau, seconds))


def _values(proxy: Proxy, layers: Sequence[str], results: Results, seed: int) -> np.ndarray | None:
  found = proxy_scores(proxy, layers, results, seed)
  return None if found is None else np.array([found[layer] for layer in layers])


def _passes(proxy: Proxy, layer: str, results: Results) -> bool:
  """Returns whether a layer passes a quality test in each of the proxy's networks, at one of its rates."""
  steps = proxy.steps if proxy.cosine else SCREENING_STEPS
  return all(max(results.accuracy(run, steps) for run in each) >= MIN_ACCURACY for each in proxy.runs(layer, 0))


def core_seconds(proxy: Proxy, graphs: Sequence[str], results: Results) -> float:
  """Returns what training a candidate costs, the mean over the layer graphs that pass, or over all if none does.

  The start of a training, building and tracing a network, is what the first 100 steps of the constant rate take longer
  than the second.

  Args:
    proxy, graphs, results: as for `score`.
  """
  def seconds(run: Run) -> float:
    first, second = (results.rows[dataclasses.replace(run, rate=.1, cosine=False, seed=0, length=400), steps][1]
                     for steps in (100, 200))
    return max(results.rows[run, proxy.steps][1] - max(2 * first - second, 0.), 0.)

  passing = [layer for layer in graphs if _passes(proxy, layer, results)] or graphs
  return statistics.fmean(sum(seconds(run) for each in proxy.runs(layer, 0) for run in each) for layer in passing)


def expected_best(tau: float | np.ndarray, core_seconds: float) -> float | np.ndarray:
  """Returns the expected truth of the candidate that a proxy puts first, in standard deviations over candidates.

  It weighs fidelity against cost, in a model that is simple: a search evaluates as many candidates as its budget pays
  for, and truth and proxy are normal with the correlation that belongs to τ, sin(π·τ/2). Then the expectation is the
  correlation times that of the largest of so many normal numbers (Blom's approximation).

  Args:
    tau: Kendall's τ between proxy and truth, or an array of them.
    core_seconds: what training a candidate costs.
  """
  count = max(1., BUDGET / (core_seconds + OVERHEAD))
  return np.sin(np.pi * tau / 2) * stats.norm.ppf((count - .375) / (count + .25))


def kendall(values: np.ndarray, true: np.ndarray) -> float:
  """Returns Kendall's τ-b; 0 where one side is constant."""
  return float(np.nan_to_num(stats.kendalltau(values, true).statistic))


def interval(values: np.ndarray, true: np.ndarray) -> tuple[float, float]:
  """Returns the bootstrap interval of τ over layers."""
  low, high = np.quantile(drawn_kendall(values, true, _draws(len(values))), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
  return float(low), float(high)


def _draws(count: int) -> np.ndarray:
  """Returns positions of so many layers, drawn with replacement: the same for all proxies."""
  return np.random.default_rng(0).integers(count, size=(_DRAWS, count))


def drawn_kendall(values: np.ndarray, true: np.ndarray, draws: np.ndarray) -> np.ndarray:
  """Returns Kendall's τ-b of each draw of layers, 0 where one side is constant.

  Args:
    values, true: [layers].
    draws: positions of layers, [draws, layers].
  """
  counts = (draws[:, :, np.newaxis] == np.arange(len(values))).sum(1)
  signs, true_signs = (np.sign(v[:, np.newaxis] - v) for v in (values, true))
  both, one, other = (np.einsum('di,ij,dj->d', counts, pairs, counts, optimize=True)
                      for pairs in (signs * true_signs, signs ** 2, true_signs ** 2))
  return both / np.sqrt(np.maximum(one * other, 1e-9))


def best_share(values: np.ndarray, true: np.ndarray) -> float:
  """Returns the share of the true best quarter that is in the best quarter by the values; ties are in it in part."""
  return float(_in_best_quarter(values) @ _in_best_quarter(true) / _quarter(len(values)))


def _quarter(count: int) -> int:
  return max(1, round(count / 4))


def _in_best_quarter(values: np.ndarray) -> np.ndarray:
  """Returns how much of each value is in the best quarter: 1, 0, or a share for those that tie at its end."""
  count = _quarter(len(values))
  last = np.sort(values)[-count]
  above, at = values > last, values == last
  return above + at * (count - above.sum()) / at.sum()
