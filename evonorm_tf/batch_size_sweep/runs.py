"""The runs of a sweep. Each has a folder, which receives the result when the run ends."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import gc
import json
import math
import pathlib
import re
import time
import traceback

import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import NORM_ACTS
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.model_dir import write_json

DONE, FAILED, PENDING = 'done', 'failed', 'pending'
METRICS = ('accuracy', 'top_5_accuracy', 'validation_loss', 'seconds')  # what is kept of a run's metrics
_RESULT_FILE = 'result.json'


@dataclasses.dataclass(frozen=True)
class Run:
  """One training of a sweep.

  Attributes:
    norm_act: the norm-act's label.
    spec: the norm-act as `get_norm_act` takes it: a name or the path of a layer graph.
    batch_size: images a batch.
    seed: the seed of the training.
  """
  norm_act: str
  spec: str
  batch_size: int
  seed: int

  @property
  def folder(self) -> str:
    """The folder of the run, relative to the sweep's `model_dir`."""
    return f'{self.norm_act}/batch_{self.batch_size}/seed_{self.seed}'

  def __str__(self) -> str:
    return f'{self.norm_act}, batch {self.batch_size}, seed {self.seed}'


@dataclasses.dataclass(frozen=True)
class Result:
  """The result of a run.

  Attributes:
    status: 'done', 'failed' or 'pending'.
    metrics: those of `METRICS` that the training has returned; `accuracy` is a fraction. A failed run has 'seconds'.
    message: why the run failed.
    traceback: where the run failed.
  """
  status: str = PENDING
  metrics: dict[str, float] = dataclasses.field(default_factory=dict)
  message: str = ''
  traceback: str = ''


def label_norm_acts(norm_acts: Sequence[str]) -> dict[str, str]:
  """Returns the norm-acts by label: the name, or the stem of a layer graph's file with a number if it is taken.

  Other characters of a stem than letters, digits, `-` and `_` become `_`, so that it can name a folder. The names of
  known layers count as taken.
  """
  labels = {}
  for spec in map(str, norm_acts):
    label = spec
    if spec not in NORM_ACTS:
      stem, number = re.sub(r'[^\w-]', '_', pathlib.Path(spec).stem), 2
      label = stem
      while label in labels or label in NORM_ACTS:
        label, number = f'{stem}_{number}', number + 1
    labels[label] = spec
  return labels


def make_runs(labels: Mapping[str, str], batch_sizes: Sequence[int], seeds: Sequence[int]) -> list[Run]:
  """Returns all runs, seed by seed, so that an unfinished sweep has complete grids of as many seeds as possible."""
  return [Run(label, spec, batch_size, seed)
          for seed in seeds for batch_size in batch_sizes for label, spec in labels.items()]


def execute(run: Run, train: Callable[..., Mapping[str, float]], model_dir: pathlib.Path) -> Result:
  """Trains, or resumes an interrupted training, and returns the result. Any error becomes part of the result.

  Args:
    run: the run.
    train: the trainer; see `evonorm_tf.batch_size_sweep.sweep.run_sweep`.
    model_dir: the folder of the sweep.
  """
  folder, start = model_dir / run.folder, time.monotonic()
  folder.mkdir(parents=True, exist_ok=True)
  try:
    metrics = _checked(train(model_dir=str(folder), mode='train_and_eval', norm_act=run.spec,
                             batch_size=run.batch_size, seed=run.seed))
    return Result(DONE, {'seconds': round(time.monotonic() - start, 2), **metrics})
  except Exception as e:
    return Result(FAILED, {'seconds': round(time.monotonic() - start, 2)}, f'{type(e).__name__}: {e}',
                  traceback.format_exc())
  finally:
    tf_keras.backend.clear_session()  # Keras would keep every graph
    gc.collect()


def _checked(metrics: Mapping[str, float]) -> dict[str, float]:
  """Returns the metrics that are kept, as floats; ArgumentError for values that cannot be."""
  if not isinstance(metrics, Mapping) or 'accuracy' not in metrics:
    raise ArgumentError(f'`train` must return a dict with `accuracy`, received {metrics!r}.')
  kept = {name: float(metrics[name]) for name in METRICS if name in metrics}
  for name, value in kept.items():
    if not math.isfinite(value):
      raise ArgumentError(f'`{name}` must be finite, `train` returned {value}.')
  if not 0 <= kept['accuracy'] <= 1:
    raise ArgumentError(f'`accuracy` must be a fraction, `train` returned {kept["accuracy"]}.')
  return kept


def write_result(run: Run, result: Result, model_dir: pathlib.Path) -> None:
  """Writes a result to the run's folder; it is on disk when this function returns."""
  data = {**dataclasses.asdict(run), **dataclasses.asdict(result)}
  write_json(model_dir / run.folder / _RESULT_FILE, data, indent=2, end='\n')


def read_result(run: Run, model_dir: pathlib.Path) -> Result:
  """Returns a run's result, a pending one if there is none; raises ModelDirError for a file that holds no result."""
  path = model_dir / run.folder / _RESULT_FILE
  if not path.exists():
    return Result()
  try:
    data = json.loads(path.read_text())
    result = Result(**{field.name: data[field.name] for field in dataclasses.fields(Result)})
    if result.status not in (DONE, FAILED):
      raise ArgumentError(f'`status` is {result.status!r}')
    if result.status == DONE:
      _checked(result.metrics)
    return result
  except (ValueError, TypeError, KeyError) as e:
    raise ModelDirError(f'{path}: not the result of a run: {e}. Remove it, and the run is made again.') from e
