"""The order in which settings of the quickstart's proxy task put eight layers, against their order after long training.

  python -m benchmarks.proxy_order --results=results/proxy_order.csv [--minutes=60]

A search finds no better layers than its proxy task lets it see. Eight layers, whose validation accuracies after 2,000
steps on all of CIFAR-10 are known (`LONG_TRAINING`), are trained in the quickstart's networks at several learning
rates, schedules, numbers of steps and depths of the ResNet. The table has one row for each of these settings: Kendall's
τ between the mean accuracies of the eight layers and those of long training, the differences that matter most, and the
time that a layer takes on one core.

There are two rounds, fixed before the first training: all settings with one seed, then the best three with a second.
Every training is appended to the file of results as it ends, and a later call goes on from there.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from collections.abc import Iterator
import csv
import dataclasses
import itertools
import pathlib
import statistics
import time

from absl import app
from absl import flags
import gin
from rich.console import Console
from rich.table import Table
from scipy import stats

from benchmarks.fidelity.runs import CHANCE
from benchmarks.fidelity.runs import DEPTHS
from benchmarks.fidelity.runs import networks
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from evonorm_tf.layers.norm_act import get_norm_act
from search import evolution
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.reused_training import start_training
from search.evaluation.training import NonFiniteLoss
from search.execution.executors import WorkerProcesses
from search.graphs.known_graphs import V0
from search.graphs.known_graphs import X

_RESULTS = flags.DEFINE_string('results', 'results/proxy_order.csv', 'The trainings, appended to.')
_MINUTES = flags.DEFINE_float('minutes', 60., 'The time after which no training begins.')
_WORKERS = flags.DEFINE_integer('workers', 2, 'Trainings at a time.', lower_bound=1)

# Mean validation accuracies over the quickstart's three networks at 16 pixels, after 2,000 steps of 64 images on 45,000
# images of CIFAR-10 with a cosine, at the better of the rates 0.03 and 0.1, one seed.
LONG_TRAINING = {'evonorm_b0': .629, 'bn_relu': .600, 'evonorm_s0': .566, 'tanh': .540, 'tanh(x + v0)': .533,
                 'gn_relu': .530, 'x / √rms[w,h]': .519, 'x / s[w,h,c]': .475}
GRAPHS = {
    'tanh': LayerGraph((Node('tanh', (X,)),)),
    'tanh(x + v0)': LayerGraph((Node('add', (X, V0)), Node('tanh', (4,)))),
    'x / √rms[w,h]': LayerGraph((Node('second_moment', (X,), INSTANCE), Node('sqrt', (4,)), Node('div', (X, 5)))),
    'x / s[w,h,c]': LayerGraph((Node('centered_second_moment', (X,), LAYER), Node('div', (X, 4)))),
}
STEPS = 200
SETTINGS = (.2, True), (.1, True), (.2, False), (.1, False), (.05, False)  # learning rate, whether it falls to 0
MEASURED = 100, STEPS  # steps after which accuracy is measured
BEST = 3  # settings that are trained with a second seed
FIELDS = 'network', 'layer', 'rate', 'cosine', 'seed', 'steps', 'accuracy', 'seconds'


@dataclasses.dataclass(frozen=True, order=True)
class Run:
  """One training.

  Attributes:
    network: an architecture's family, and the depth for ResNets: 'resnet 14'.
    layer: the layer's name in `LONG_TRAINING`.
    rate: the learning rate.
    cosine: whether the rate falls to 0 along a cosine, over `STEPS` steps.
    seed: the seed of weights and batches.
  """
  network: str
  layer: str
  rate: float
  cosine: bool
  seed: int


def train(evaluation: Evaluation, run: Run) -> list[tuple[int, float, float]]:
  """Trains a layer and returns triples of steps, validation accuracy and seconds so far, for each of `MEASURED`.

  Args:
    evaluation: the quickstart's evaluation, which gives the data, the batch and the number of groups.
    run: the training.
  """
  task = dataclasses.replace(evaluation.task, learning_rate=run.rate, cosine=run.cosine, steps=STEPS, seed=run.seed)
  spec = GRAPHS.get(run.layer, run.layer)
  norm_act = get_norm_act(spec).with_defaults(groups=evaluation.groups, synchronized=False, jit_compile=False)
  start = time.perf_counter()
  points: list[tuple[int, float, float]] = []
  training = start_training(task, networks(evaluation.task)[run.network], norm_act, {})
  try:
    for steps in MEASURED:
      training.train(steps - training.steps_done)
      points.append((steps, training.accuracy('validation'), time.perf_counter() - start))
  except NonFiniteLoss:
    points += [(s, CHANCE, time.perf_counter() - start) for s in MEASURED[len(points):]]
  finally:
    training.close()
  return points


class Results:
  """The file of results: a CSV with one line for each accuracy measured.

  Attributes:
    rows: the accuracy and the seconds so far by training and number of steps.
  """

  def __init__(self, path: str):
    self._path = pathlib.Path(path)
    self.rows: dict[tuple[Run, int], tuple[float, float]] = {}
    if self._path.exists():
      for row in csv.DictReader(self._path.read_text().splitlines()):
        run = Run(row['network'], row['layer'], float(row['rate']), row['cosine'] == 'True', int(row['seed']))
        self.rows[run, int(row['steps'])] = float(row['accuracy']), float(row['seconds'])
    else:
      self._path.parent.mkdir(parents=True, exist_ok=True)
      self._path.write_text(','.join(FIELDS) + '\n')

  def add(self, run: Run, points: list[tuple[int, float, float]]) -> None:
    """Appends the accuracies of a training."""
    with self._path.open('a') as file:
      for steps, accuracy, seconds in points:
        self.rows[run, steps] = accuracy, seconds
        csv.writer(file, lineterminator='\n').writerow(
            (*dataclasses.astuple(run), steps, f'{accuracy:.4f}', f'{seconds:.1f}'))

  def settings(self) -> list[tuple[int, float, bool, int]]:
    """Returns all settings of the proxy task that the trainings can tell of: (depth, rate, cosine, steps)."""
    return [(depth, rate, cosine, steps) for depth in DEPTHS for rate, cosine in SETTINGS for steps in MEASURED
            if steps == STEPS or not cosine]

  def means(self, setting: tuple[int, float, bool, int], seed: int) -> dict[str, float] | None:
    """Returns the mean accuracy by layer over the three networks; None unless all are there."""
    values = self._of(setting, seed, 0)
    return None if values is None else {layer: statistics.fmean(v) for layer, v in values.items()}

  def seconds(self, setting: tuple[int, float, bool, int], seed: int) -> float:
    """Returns the seconds on one core that one layer takes in the three networks, the mean over the layers."""
    return statistics.fmean(sum(v) for v in self._of(setting, seed, 1).values())

  def _of(self, setting, seed, column):
    depth, rate, cosine, steps = setting
    names = (f'resnet {depth}', 'mobilenet_v2', 'efficientnet')
    keys = {layer: [(Run(n, layer, rate, cosine, seed), steps) for n in names] for layer in LONG_TRAINING}
    if not all(key in self.rows for some in keys.values() for key in some):
      return None
    return {layer: [self.rows[key][column] for key in some] for layer, some in keys.items()}


def order(means: dict[str, float]) -> float:
  """Returns Kendall's τ between mean accuracies and those of long training."""
  return float(stats.kendalltau([means[layer] for layer in LONG_TRAINING], list(LONG_TRAINING.values())).statistic)


def first_round(task: ProxyTask) -> Iterator[Run]:
  """Yields all trainings with seed 0."""
  for setting, network, layer in itertools.product(SETTINGS, networks(task), LONG_TRAINING):
    yield Run(network, layer, *setting, seed=0)


def second_round(results: Results) -> Iterator[Run]:
  """Yields the trainings of the best settings, by τ and then by time, with seed 1."""
  scored = [(-order(m), results.seconds(s, 0), s) for s in results.settings() if (m := results.means(s, 0))]
  for _, _, (depth, rate, cosine, _) in sorted(scored)[:BEST]:
    for network, layer in itertools.product((f'resnet {depth}', 'mobilenet_v2', 'efficientnet'), LONG_TRAINING):
      yield Run(network, layer, rate, cosine, seed=1)


def run_round(runs: Iterator[Run], evaluation: Evaluation, results: Results, executor: WorkerProcesses, end: float
              ) -> None:
  """Carries out the trainings that have no results yet, as many at a time as the executor has room for."""
  done = {run for run, _ in results.rows}
  waiting = [run for run in dict.fromkeys(runs) if run not in done]
  running, total = 0, len(waiting)
  while running or (waiting and time.monotonic() < end):
    while waiting and executor.free and time.monotonic() < end:
      run = waiting.pop(0)
      executor.submit(run, train, evaluation, run)
      running += 1
    run, points = executor.next_result()
    running -= 1
    results.add(run, points)
    print(f'{total - len(waiting) - running}/{total} {run}: {points}', flush=True)


def table(results: Results) -> Table:
  """Returns the table of settings, the best τ first."""
  shown = Table(title='Order of eight layers against that of long training')
  for column in ('depth', 'rate', 'schedule', 'steps', 'τ, seed 0', 'τ, seed 1', 'τ, mean of seeds', 'BN-ReLU − tanh',
                 'EvoNorm-B0 − tanh', 'seconds a layer'):
    shown.add_column(column, justify='right')
  rows = []
  for setting in results.settings():
    means = [results.means(setting, seed) for seed in (0, 1)]
    if means[0] is None:
      continue
    complete = [m for m in means if m]
    both = {layer: statistics.fmean(m[layer] for m in complete) for layer in LONG_TRAINING}
    depth, rate, cosine, steps = setting
    gaps = (f'{both[layer] - both["tanh"]:+.3f}' for layer in ('bn_relu', 'evonorm_b0'))
    rows.append((-order(both), str(depth), f'{rate:g}', 'cosine' if cosine else 'constant', str(steps),
                 *(f'{order(m):.2f}' if m else '–' for m in means), f'{order(both):.2f}', *gaps,
                 f'{results.seconds(setting, 0):.0f}'))
  for _, *row in sorted(rows):
    shown.add_row(*row)
  return shown


def main(_):
  """Runs the study and prints its table; the argument, the command line without flags, is not used."""
  end = time.monotonic() + 60 * _MINUTES.value
  gin.parse_config_file('gin/search/quickstart.gin')
  evaluation = gin.query_parameter(
      f'{evolution.run_search.__module__}.run_search.evaluation').scoped_configurable_fn()
  results, executor = Results(_RESULTS.value), WorkerProcesses(_WORKERS.value, candidates_per_process=40)
  try:
    run_round(first_round(evaluation.task), evaluation, results, executor, end)
    run_round(second_round(results), evaluation, results, executor, end)
  finally:
    executor.close()
  Console(width=140).print(table(results))


if __name__ == '__main__':
  app.run(main)
