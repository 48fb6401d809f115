"""The trainings of the study: what they are, in which order they come, and the file of their results.

Long training, the truth: 2,000 steps of 64 images of 16 pixels with a cosine, on 45,000 training images of the whole of
CIFAR-10, accuracy on the other 5,000; each of `LONG_RATES` with one seed, and the best of them, for each layer and
network, with a second.

Short training: the settings of `SHORT` in the quickstart's task, on the images that come with the package. Accuracy is
measured on the way, so that one training tells of several numbers of steps. Seeds of short and long trainings differ,
or a lucky start would count on both sides.
"""

from collections.abc import Container
from collections.abc import Iterator
from collections.abc import Sequence
import csv
import dataclasses
import fcntl
import io
import pathlib
import time

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.norm_act import get_norm_act
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.reused_training import start_training
from search.evaluation.training import NonFiniteLoss

CHANCE = .1  # the accuracy of a training that diverges
DEPTHS = 14, 26  # of the ResNet
LONG_STEPS, LONG_VALIDATION = 2000, 5000
LONG_RATES = .03, .1, .3
LONG_SEEDS = 10, 11
FIELDS = 'network', 'layer', 'rate', 'cosine', 'seed', 'length', 'steps', 'accuracy', 'seconds'


@dataclasses.dataclass(frozen=True, order=True)
class Run:
  """One training.

  Attributes:
    network: an architecture's family, and the depth for ResNets: 'resnet 14'.
    layer: the layer's name.
    rate: the learning rate at the start.
    cosine: whether the rate falls to 0 along a cosine, over `length` steps.
    seed: the seed of weights and batches.
    length: the number of steps; `LONG_STEPS` for long training.
  """
  network: str
  layer: str
  rate: float
  cosine: bool
  seed: int
  length: int

  @property
  def is_long(self) -> bool:
    """Whether this is a long training."""
    return self.length == LONG_STEPS

  @property
  def measured(self) -> tuple[int, ...]:
    """The numbers of steps after which the accuracy is measured: those where the rate is not on its way down."""
    return (self.length,) if self.cosine else tuple(steps for steps in (100, 200, 400) if steps <= self.length)


# Rate, whether it falls to 0, seed and number of steps of the short trainings.
SHORT = ((.1, False, 0, 400), (.1, True, 0, 200), (.2, True, 0, 200), (.2, False, 0, 400), (.05, False, 0, 400),
         (.1, True, 0, 400), (.2, True, 0, 400), (.1, False, 1, 400), (.2, True, 1, 200))


def networks(task: ProxyTask) -> dict[str, Architecture]:
  """Returns the task's architectures by name, the ResNet once for each of `DEPTHS`.

  Args:
    task: the proxy task of three_networks.gin.
  """
  resnet, *others = task.architectures
  return {f'resnet {depth}': Architecture('resnet', {**resnet.options, 'depth': depth}) for depth in DEPTHS} | {
      a.family: a for a in others}


def long_networks(names: Sequence[str]) -> list[str]:
  """Returns the three networks of long training.

  Args:
    names: the keys of `networks`.
  """
  return [name for name in names if name != f'resnet {DEPTHS[0]}']


def train(evaluation: Evaluation, run: Run, spec: LayerGraph | str, data_dir: str
          ) -> list[tuple[int, float, float]]:
  """Trains a layer, and returns steps, validation accuracy and seconds so far for each of `run.measured`.

  Args:
    evaluation: the evaluation of three_networks.gin, which gives the data, the batch and the number of groups.
    run: the training.
    spec: the layer graph, or a name for `get_norm_act`.
    data_dir: the TFDS folder with CIFAR-10, for long training.
  """
  task = dataclasses.replace(
      evaluation.task, learning_rate=run.rate, cosine=run.cosine, steps=run.length, training_seed=run.seed)
  if run.is_long:
    task = dataclasses.replace(task, data_dir=data_dir, validation_images=LONG_VALIDATION)
  # Compiling a named layer's core pays in long training. Layer graphs train in networks that are kept, operation by
  # operation, as the search trains candidates.
  norm_act = get_norm_act(spec).with_defaults(
      groups=evaluation.groups, synchronized=False, jit_compile=None if run.is_long else False)
  start, points = time.perf_counter(), []
  training = start_training(task, networks(evaluation.task)[run.network], norm_act, {})
  try:
    for steps in run.measured:
      training.train(steps - training.steps_done)
      points.append((steps, training.accuracy('validation'), time.perf_counter() - start))
  except NonFiniteLoss:
    points += [(steps, CHANCE, time.perf_counter() - start) for steps in run.measured[len(points):]]
  finally:
    training.close()
  return points


class Results:
  """The file of results: a CSV with one line for each accuracy measured, open in one process at a time.

  Attributes:
    rows: the accuracy and the seconds so far, by training and number of steps.

  Raises:
    SystemExit: if the file has other columns, or another process has it open.
  """

  def __init__(self, path: pathlib.Path):
    self.rows: dict[tuple[Run, int], tuple[float, float]] = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    self._file = path.open('a+')
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
      raise SystemExit(f'{path} is in use by another process.') from e
    self._file.seek(0)
    text = self._file.read()
    complete = text[:text.rfind('\n') + 1]  # without what a kill may have left of a line
    self._file.truncate(len(complete.encode()))
    if not complete:
      self._file.write(complete := ','.join(FIELDS) + '\n')
      self._file.flush()
    reader = csv.DictReader(complete.splitlines())
    if tuple(reader.fieldnames or ()) != FIELDS:
      raise SystemExit(f'{path}: expected the columns {FIELDS}, found {reader.fieldnames}.')
    for row in reader:
      run = Run(row['network'], row['layer'], float(row['rate']), row['cosine'] == 'True', int(row['seed']),
                int(row['length']))
      self.rows[run, int(row['steps'])] = float(row['accuracy']), float(row['seconds'])

  def add(self, run: Run, points: Sequence[tuple[int, float, float]]) -> None:
    """Appends the accuracies of a training.

    Args:
      run: the training.
      points: the result of `train`.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator='\n')
    for steps, accuracy, seconds in points:
      self.rows[run, steps] = accuracy, seconds
      writer.writerow((*dataclasses.astuple(run), steps, f'{accuracy:.4f}', f'{seconds:.1f}'))
    self._file.write(lines.getvalue())
    self._file.flush()

  def close(self) -> None:
    """Closes the file, so that another process can open it."""
    self._file.close()

  def is_done(self, run: Run) -> bool:
    """Returns whether a training has ended, with all its lines in the file."""
    return all((run, steps) in self.rows for steps in run.measured)

  def accuracy(self, run: Run, steps: int | None = None) -> float:
    """Returns the accuracy of a training that has ended, after so many steps (default: at its end)."""
    return self.rows[run, steps or run.length][0]

  @property
  def core_seconds(self) -> float:
    """The time that all trainings took, on one core each."""
    return sum(seconds for (run, steps), (_, seconds) in self.rows.items() if steps == run.length)

  def best_long(self, layer: str, network: str) -> list[Run] | None:
    """Returns a layer's long trainings at its best rate in a network, one for each seed; None while rates are missing.

    Args:
      layer: the layer's name.
      network: a key of `networks`.
    """
    first = [Run(network, layer, rate, True, LONG_SEEDS[0], LONG_STEPS) for rate in LONG_RATES]
    if not all(map(self.is_done, first)):
      return None
    best = max(first, key=self.accuracy)
    return [dataclasses.replace(best, seed=seed) for seed in LONG_SEEDS]


def short_runs(layer: str, names: Sequence[str]) -> list[Run]:
  """Returns a layer's short trainings.

  Args:
    layer: the layer's name.
    names: the keys of `networks`.
  """
  return [Run(name, layer, *setting) for setting in SHORT for name in names]


def pending(layers: Sequence[str], names: Sequence[str], results: Results, running: Container[Run]) -> Iterator[Run]:
  """Yields the trainings that are neither done nor running and whose settings are known, layer by layer.

  Args:
    layers: the layers' names, in the order of training.
    names: the keys of `networks`.
    results: the trainings so far.
    running: those that are running.
  """
  for layer in layers:
    runs = [Run(name, layer, rate, True, LONG_SEEDS[0], LONG_STEPS) for name in long_networks(names)
            for rate in LONG_RATES] + short_runs(layer, names)
    for name in long_networks(names):
      runs += results.best_long(layer, name) or []
    yield from (run for run in dict.fromkeys(runs) if run not in running and not results.is_done(run))


def is_complete(layer: str, names: Sequence[str], results: Results) -> bool:
  """Returns whether all trainings of a layer have ended.

  Args:
    layer, names, results: as for `pending`.
  """
  return next(pending([layer], names, results, ()), None) is None and all(
      results.best_long(layer, name) for name in long_networks(names))
