"""The runs of a sweep: their folders, their execution, and their results on disk."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import gc
import json
import math
import os
import pathlib
import re
import time
import traceback

import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import NORM_ACTS
from evonorm_tf.layers.registry import registered_name
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.model_dir import write_json

DONE, FAILED, PENDING = 'done', 'failed', 'pending'
GRAPHS = 'layers'  # the folder of layer graphs in that of a sweep
METRICS = ('accuracy', 'top_5_accuracy', 'validation_loss', 'seconds')  # the trainer's results that a sweep keeps
_RESULT_FILE = 'result.json'


@dataclasses.dataclass(frozen=True)
class Run:
  """One training run of a sweep.

  Attributes:
    norm_act: the label of the norm-act in reports and folder names; see `label_norm_acts`.
    spec: the norm-act itself: a name such as 'evonorm_s0', or the path of a layer graph's file in the sweep's folder.
    batch_size: the number of images per training batch.
    seed: the seed of the training.
  """
  norm_act: str
  spec: str
  batch_size: int
  seed: int

  @property
  def folder(self) -> str:
    """The run's folder, a path relative to the sweep's `model_dir`."""
    return f'{self.norm_act}/batch_{self.batch_size}/seed_{self.seed}'

  def __str__(self) -> str:
    return f'{self.norm_act}, batch {self.batch_size}, seed {self.seed}'


@dataclasses.dataclass(frozen=True)
class Result:
  """The result of a run.

  Attributes:
    status: 'done', 'failed' or 'pending', the default.
    metrics: the results by name, those of `METRICS` that the training returned; `accuracy` is a fraction. A failed run
      has only 'seconds', and a pending run none.
    message: the error of a failed run; otherwise empty.
    traceback: the traceback of that error; otherwise empty.
  """
  status: str = PENDING
  metrics: dict[str, float] = dataclasses.field(default_factory=dict)
  message: str = ''
  traceback: str = ''


def label_norm_acts(norm_acts: Sequence[str]) -> dict[str, str]:
  """Gives every norm-act of a sweep a label that is unique and can be the name of a folder.

  The label of a named layer is its registered name. The label of a layer graph is the stem of the name of its file, or
  of the search's folder, in which all characters but letters, digits, `-` and `_` become `_`; if it is already a label,
  the name of a layer, or `GRAPHS`, a number from 2 on is appended.

  Args:
    norm_acts: the norm-acts: names of layers, paths of layer graphs' JSON files, or folders of searches.

  Returns:
    The norm-acts by label, in the given order.
  """
  labels = {}
  for spec in map(str, norm_acts):
    label = registered_name(spec, NORM_ACTS)
    if label is None:
      stem, number = re.sub(r'[^\w-]', '_', pathlib.Path(os.path.abspath(spec)).stem) or 'layer', 2
      label = stem
      while label in labels or label in NORM_ACTS or label == GRAPHS:
        label, number = f'{stem}_{number}', number + 1
    labels[label] = spec
  return labels


def make_runs(labels: Mapping[str, str], batch_sizes: Sequence[int], seeds: Sequence[int]) -> list[Run]:
  """Returns all runs of a sweep in the order in which they are made: by seed, then by batch size, then by norm-act.

  So an unfinished sweep has complete grids for as many seeds as possible.

  Args:
    labels: the norm-acts by label, as `label_norm_acts` returns them.
    batch_sizes: the numbers of images per batch.
    seeds: the seeds of the trainings.
  """
  return [Run(label, spec, batch_size, seed)
          for seed in seeds for batch_size in batch_sizes for label, spec in labels.items()]


def execute(run: Run, train: Callable[..., Mapping[str, float]], model_dir: pathlib.Path) -> Result:
  """Trains one run, or resumes its training; an exception makes it a failed run.

  Args:
    run: the run.
    train: a function that trains a network in the run's folder; see `evonorm_tf.batch_size_sweep.sweep.run_sweep`.
    model_dir: the folder of the sweep.

  Returns:
    The run's result, 'done' or 'failed'. Its 'seconds' are those that `train` returned, or else the time of this call.
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
    tf_keras.backend.clear_session()  # otherwise Keras would keep the graphs of all runs in memory
    gc.collect()


def _checked(metrics: Mapping[str, float]) -> dict[str, float]:
  """Returns the metrics to keep, as floats; raises ArgumentError if one is missing or impossible."""
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
  """Writes a result to the run's folder as result.json, which is synced to disk when this function returns.

  Args:
    run: the run.
    result: its result.
    model_dir: the folder of the sweep.
  """
  data = {**dataclasses.asdict(run), **dataclasses.asdict(result)}
  write_json(model_dir / run.folder / _RESULT_FILE, data, indent=2, end='\n')


def read_result(run: Run, model_dir: pathlib.Path) -> Result:
  """Reads the result of a run from its folder.

  Args:
    run: the run.
    model_dir: the folder of the sweep.

  Returns:
    The result, with the status 'pending' if there is no file.

  Raises:
    ModelDirError: if the file does not contain the result of a run.
  """
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
