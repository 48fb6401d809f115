"""The skeleton of every trainer: from the arguments of an experiment to its results.

A root function (`run_classification`, `run_mask_rcnn`, `run_gan`) has a flat signature, because users bind its
arguments in gin. It puts the arguments that all trainers share into `SharedArguments`, describes the rest as an
`Experiment`, and calls `run_experiment`. Model Garden's runner does the work (`official.core.train_lib`).
"""

import abc
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import inspect
import os
import re
import time
from typing import Any
from typing import ClassVar
from typing import TypeVar

from official.core import config_definitions
from rich.console import Console
import tensorflow as tf
import tf_keras

from evonorm_tf.devices import graph_memory
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.output.model_dir import lock
from evonorm_tf.training import config as training_config
from evonorm_tf.training import model_settings
from evonorm_tf.training.checkpoints import latest_checkpoint
from evonorm_tf.training.config import SharedArguments
from evonorm_tf.training.resumable import ResumableTask
from evonorm_tf.training.runner import ExperimentRunner

Results = dict[str, float | str]
_SHARED = '    The arguments of every trainer: see `training.config.SharedArguments`.\n'


class Experiment(abc.ABC):
  """The parts of a trainer that the skeleton calls, in the order in which they stand here.

  Attributes:
    modes: the known values of `mode`. Modes besides `LOOP_MODES` do not train or evaluate; they call `infer`.
    training_figures: the figures of a training loop that the progress shows, as `TrainingLog` takes them.
    shared: the arguments that all trainers share.
  """
  modes: ClassVar[tuple[str, ...]]
  training_figures: ClassVar[Mapping[str, str]]
  shared: SharedArguments

  @abc.abstractmethod
  def check(self) -> None:
    """Raises ArgumentError for arguments that cannot work, before anything is read or written."""

  def checkpoint_folder(self) -> str:
    """Returns the folder of the checkpoint that modes other than training read."""
    return self.shared.model_dir

  @property
  @abc.abstractmethod
  def batch_size(self) -> int:
    """Images that a network sees at a time in training, of all replicas together."""

  @abc.abstractmethod
  def read_data(self, console: Console) -> None:
    """Raises ArgumentError if the data are missing; makes those that can be made, and shows that on the console."""

  @abc.abstractmethod
  def task_config(self, eval_batch_size: int) -> config_definitions.TaskConfig:
    """Returns Model Garden's description of model, losses and batches."""

  @abc.abstractmethod
  def trainer_config(self) -> config_definitions.TrainerConfig:
    """Returns Model Garden's description of the optimizer and the loop."""

  @abc.abstractmethod
  def model_settings(self, config: config_definitions.ExperimentConfig) -> dict[str, Any]:
    """Returns what a checkpoint depends on, JSON data: another model in the same `model_dir` is refused."""

  @abc.abstractmethod
  def make_task(self, config: config_definitions.ExperimentConfig, strategy: tf.distribute.Strategy) -> ResumableTask:
    """Returns the task, under the Keras policy of the training."""

  @abc.abstractmethod
  def infer(self, config: config_definitions.ExperimentConfig, task: ResumableTask) -> tuple[str, str]:
    """Uses a trained model in a mode of the trainer's own; returns what was made, such as 'SavedModel', and where."""

  @abc.abstractmethod
  def evaluation_figures(self) -> Mapping[str, str]:
    """Returns the figures of an evaluation that the progress shows, as `TrainingLog` takes them."""

  def notes(self) -> dict[str, str]:
    """Returns texts that stand beside the results, by name."""
    return {}

  def evaluation_checks(self) -> Sequence[Callable[[tf_keras.Model, Results], None]]:
    """Returns functions that are called after each evaluation of a training; what they raise ends it."""
    return ()

  def write_images(self) -> None:
    """Writes training images as the network sees them to the default summary writer."""


def run_experiment(experiment: Experiment) -> Results | str:
  """Runs an experiment; the same one on the same `model_dir` goes on where it stopped.

  Returns:
    Of modes that evaluate, the results by name, with `seconds` and `step`. Of 'train', {}. Of other modes, the folder
    of what was made.

  Raises:
    ArgumentError: for a bad argument, missing data, or a `model_dir` that is in use or holds another model.
    NotFiniteError: if the loss or a weight is not finite any more; the last good checkpoint is kept.
    MachineError, TensorFlowError: if the machine is at fault.
  """
  started, shared = time.monotonic(), experiment.shared
  with wrap_system_errors():
    shared.check(experiment.modes)
    experiment.check()
    if 'train' not in shared.mode:
      latest_checkpoint(experiment.checkpoint_folder())
    strategy = training_config.make_strategy(shared.strategy, shared.tpu, experiment.batch_size, shared.mode)
    console = shared.console or Console(stderr=True)
    experiment.read_data(console)
    config = _config(experiment, strategy)
    infers = shared.mode not in training_config.LOOP_MODES
    with (reserved(shared.model_dir, shared.mode, experiment.model_settings(config), strategy),
          process_state('float32' if infers else shared.precision)):
      task = experiment.make_task(config, strategy)
      if infers:
        made, folder = experiment.infer(config, task)
        console.print(f'{made}: {folder}', highlight=False, markup=False, soft_wrap=True)
        return folder
      results = _train_or_evaluate(experiment, config, task, strategy, console)
  return {**results, **experiment.notes(), 'seconds': time.monotonic() - started} if results else {}


def _config(experiment: Experiment, strategy: tf.distribute.Strategy) -> config_definitions.ExperimentConfig:
  shared = experiment.shared
  eval_batch_size = experiment.batch_size if shared.eval_batch_size is None else shared.eval_batch_size
  return config_definitions.ExperimentConfig(
      runtime=training_config.runtime_config(shared.strategy, shared.precision),
      task=experiment.task_config(training_config.whole_batch(eval_batch_size, strategy)),
      trainer=experiment.trainer_config())


def _train_or_evaluate(experiment: Experiment, config: config_definitions.ExperimentConfig, task: ResumableTask,
                       strategy: tf.distribute.Strategy, console: Console) -> Results:
  shared = experiment.shared
  runner = ExperimentRunner(
      strategy, task, shared.mode, config, shared.model_dir, console, experiment.training_figures,
      experiment.evaluation_figures(), shared.histograms, experiment.notes(), experiment.evaluation_checks())
  if 'train' in shared.mode:
    runner.describe(shared.operative_config, experiment.write_images)
  return runner.run()


@contextlib.contextmanager
def reserved(model_dir: str, mode: str, settings: dict[str, Any], strategy: tf.distribute.Strategy) -> Iterator[None]:
  """Keeps other trainings off `model_dir` within; raises ModelDirError if one runs there or it holds another model.

  Args:
    model_dir: is made in modes that train.
    mode: the mode of the trainer.
    settings: of the model, as `model_settings.check` takes them.
    strategy: knows whether this host is the one that writes.
  """
  with contextlib.ExitStack() as stack:
    if 'train' in mode and strategy.extended.should_checkpoint:
      os.makedirs(model_dir, exist_ok=True)
      lock(stack.enter_context(open(os.path.join(model_dir, 'training.lock'), 'a', encoding='utf-8')), 'training')
      model_settings.check_or_record(model_dir, settings)
    elif 'train' not in mode or os.path.exists(os.path.join(model_dir, model_settings.FILE)):
      model_settings.check(model_dir, settings)
    yield


@contextlib.contextmanager
def process_state(policy: str) -> Iterator[None]:
  """Sets Keras's global policy within; afterwards it and TensorBoard's global step are as before."""
  old_policy, step = tf_keras.mixed_precision.global_policy(), tf.summary.experimental.get_step()
  tf_keras.mixed_precision.set_global_policy(policy)
  try:
    with graph_memory.released_gradients():
      yield
  finally:
    tf.summary.experimental.set_step(step)
    tf_keras.mixed_precision.set_global_policy(old_policy)


_Function = TypeVar('_Function', bound=Callable)


def documents_shared_arguments(root: _Function) -> _Function:
  """Fills the documents of a root function: arguments that it leaves out get the text of `SharedArguments`.

  They take the place of the line "The arguments of every trainer: see ...", so that `help` shows all arguments.
  """
  own, shared = _argument_texts(root.__doc__), _argument_texts(SharedArguments.__doc__)
  missing = [shared[name] for name in inspect.signature(root).parameters if name not in own]
  root.__doc__ = root.__doc__.replace(_SHARED, ''.join(missing))
  return root


def _argument_texts(doc: str) -> dict[str, str]:
  """The lines of a docstring that document an argument, by its name: they are indented by four spaces, or by more."""
  return {match[1]: match[0] for match in re.finditer(r'^    (\w+): .*\n(?:      .*\n)*', doc, re.MULTILINE)}
