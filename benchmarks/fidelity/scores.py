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
    return f'{" or ".join(f"{rate:g}" for rate in self.rates)}, {schedule}, {self.steps}: {" + ".join(self.networks)}'


class Score(NamedTuple):
  """The scores of a proxy.

  Attributes:
    tau: Kendall's τ to the truth.
    tau_interval: its bootstrap interval over layers.
    upper: τ over the better half of the layers by the truth.
    upper_interval: its bootstrap interval.
    quarter: the share of the true best quarter that the proxy has in its best quarter.
    noise: the standard deviation over seeds of a layer's score; None with one seed.
    core_seconds: what a candidate costs, the mean over the layer graphs.
  """
  tau: float
  tau_interval: tuple[float, float]
  upper: float
  upper_interval: tuple[float, float]
  quarter: float
  noise: float | None
  core_seconds: float


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


def score(proxy: Proxy, expected: Mapping[str, float], graphs: Sequence[str], results: Results) -> Score:
  """Returns the scores of a proxy.

  Args:
    proxy: the proxy.
    expected: the truth, by layer.
    graphs: the layers that are graphs, which the search's machinery trains as it trains candidates.
    results: the trainings.
  """
  layers = list(expected)
  by_seed = [s for seed in (0, 1) if (s := proxy_scores(proxy, layers, results, seed)) is not None]
  values = np.array([by_seed[0][layer] for layer in layers])
  true = np.array([expected[layer] for layer in layers])
  upper = true >= np.median(true)
  noise = None
  if len(by_seed) == 2:
    differences = np.array([by_seed[0][layer] - by_seed[1][layer] for layer in layers])
    noise = float(np.sqrt(np.mean(differences ** 2) / 2))
  seconds = statistics.fmean(sum(results.rows[run, proxy.steps][1] for each in proxy.runs(layer, 0) for run in each)
                             for layer in layers if layer in graphs)
  return Score(kendall(values, true), interval(values, true), kendall(values[upper], true[upper]),
               interval(values[upper], true[upper]), best_share(values, true), noise, seconds)


def kendall(values: np.ndarray, true: np.ndarray) -> float:
  """Returns Kendall's τ-b; 0 where one side is constant."""
  return float(np.nan_to_num(stats.kendalltau(values, true).statistic))


def interval(values: np.ndarray, true: np.ndarray) -> tuple[float, float]:
  """Returns the bootstrap interval of τ over layers."""
  rng = np.random.default_rng(0)
  draws = rng.integers(len(values), size=(_DRAWS, len(values)))
  low, high = np.quantile(drawn_kendall(values, true, draws), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
  return float(low), float(high)


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
  """Returns the share of the true best quarter that is in the best quarter by the values."""
  count = max(1, round(len(values) / 4))
  return len({*np.argsort(-values)[:count]} & {*np.argsort(-true)[:count]}) / count
