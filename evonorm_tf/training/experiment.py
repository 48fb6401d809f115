"""The sequence of steps that all trainers share, from an experiment's arguments to its results.

A trainer is started by its root function (`run_classification`, `run_mask_rcnn`, `run_gan`), which has a flat signature
because users bind its arguments in gin. The root function puts the arguments that all trainers share into a
`SharedArguments`, everything into an `Experiment`, and calls `run_experiment`. Training and evaluation are then the
work of `training.runner`, which extends the runner of the TensorFlow Model Garden (`official.core.train_lib`).
"""

import abc
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import functools
import inspect
import os
import re
import time
from typing import Any
from typing import ClassVar
from typing import TypeVar

from absl import logging
from official.core import config_definitions
from rich.console import Console
from rich.text import Text
import tensorflow as tf
import tf_keras

from evonorm_tf.devices import graph_memory
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.output.model_dir import check_is_there
from evonorm_tf.output.model_dir import lock
from evonorm_tf.training import config as training_config
from evonorm_tf.training import model_settings
from evonorm_tf.training.checkpoint_files import newest_readable
from evonorm_tf.training.checkpoints import latest_checkpoint
from evonorm_tf.training.config import SharedArguments
from evonorm_tf.training.resumable import ResumableTask
from evonorm_tf.training.runner import ExperimentRunner

Results = dict[str, float | str]
_SHARED = '  The arguments of every trainer: see `training.config.SharedArguments`.\n'


class Experiment(abc.ABC):
  """One run of a trainer: its arguments, and the methods that `run_experiment` calls, in this order.

  Each trainer has one subclass, whose fields are the arguments of its root function.

  Attributes:
    modes: the values that the trainer accepts for `mode`. In a mode outside `config.LOOP_MODES`, `infer` is called in
      place of training and evaluation.
    training_figures: the results of a training loop that the console shows, by name, each with a format string such as
      'loss {:.3f}'.
    shared: the arguments that all trainers share.
  """
  modes: ClassVar[tuple[str, ...]]
  training_figures: ClassVar[Mapping[str, str]]
  shared: SharedArguments

  @abc.abstractmethod
  def check(self) -> None:
    """Checks the trainer's own arguments before data are read or anything is written.

    Raises:
      ArgumentError: if an argument is invalid.
    """

  def checkpoint_folder(self) -> str:
    """Returns the folder that must contain a checkpoint in modes that do not train, by default `model_dir`."""
    return self.shared.model_dir

  @property
  @abc.abstractmethod
  def batch_size(self) -> int:
    """The number of images in a training batch, over all replicas."""

  @abc.abstractmethod
  def read_data(self, console: Console) -> None:
    """Finds the data, or generates data that are not on disk yet if the trainer can.

    Args:
      console: shows the progress of this work.

    Raises:
      ArgumentError: if the data are missing.
    """

  @abc.abstractmethod
  def task_config(self, eval_batch_size: int) -> config_definitions.TaskConfig:
    """Returns Model Garden's configuration of model, losses and batches.

    Args:
      eval_batch_size: the number of images per evaluation batch, over all replicas.
    """

  @abc.abstractmethod
  def trainer_config(self) -> config_definitions.TrainerConfig:
    """Returns Model Garden's configuration of the optimizer and the training loop."""

  @abc.abstractmethod
  def model_settings(self, config: config_definitions.ExperimentConfig) -> dict[str, Any]:
    """Returns the settings on which a checkpoint depends, as JSON data.

    They are written to `model_dir` when training starts. A later run with other settings is refused.

    Args:
      config: the experiment's complete Model Garden configuration.
    """

  @abc.abstractmethod
  def make_task(self, config: config_definitions.ExperimentConfig, strategy: tf.distribute.Strategy) -> ResumableTask:
    """Returns the Model Garden task; called while Keras's precision policy for the model is set.

    Args:
      config: the experiment's complete Model Garden configuration.
      strategy: the tf.distribute strategy of this run.
    """

  @abc.abstractmethod
  def infer(self, config: config_definitions.ExperimentConfig, task: ResumableTask) -> tuple[str, str]:
    """Uses a trained model in one of the trainer's own modes, such as 'export', and writes the result to a folder.

    `run_experiment` calls this in modes outside `config.LOOP_MODES`, on one device and with the precision policy
    float32, after it has checked that there is a checkpoint and that its model has these settings.

    Args:
      config: the experiment's complete Model Garden configuration.
      task: the task that `make_task` returned.

    Returns:
      (kind, folder): the kind of thing that was written, such as 'SavedModel' or 'Pictures', for a message on the
      console, and the path of the folder.
    """

  @abc.abstractmethod
  def evaluation_figures(self) -> Mapping[str, str]:
    """Returns the evaluation results that the console shows, by name, each with a format such as 'loss {:.3f}'."""

  def notes(self) -> dict[str, str]:
    """Returns texts to add to an evaluation's results, by key, such as how scores were measured; by default none."""
    return {}

  def evaluation_checks(self) -> Sequence[Callable[[tf_keras.Model, Results], None]]:
    """Returns functions (model, results) to call after each evaluation during training; by default none.

    If one raises an exception, training ends with it.
    """
    return ()

  def write_images(self) -> None:
    """Writes some training images, as the network sees them, to the default summary writer; by default none."""


def run_experiment(experiment: Experiment) -> Results | str:
  """Runs an experiment in its mode; training resumes from the newest checkpoint in its `model_dir`.

  Args:
    experiment: the trainer's arguments and methods.

  Returns:
    In modes that evaluate, the results of the last evaluation by name, including `step` and `seconds`, the time of this
    call. In mode 'train', an empty dict. In other modes, the path of the folder that `infer` wrote.

  Raises:
    ArgumentError: for an invalid argument, missing data, or a `model_dir` that is in use or contains another model.
    NotFiniteError: if the loss or a weight is no longer finite; the last good checkpoint is kept.
    MachineError, TensorFlowError: if the operating system or TensorFlow fails, for instance for lack of memory.
  """
  started, shared = time.monotonic(), experiment.shared
  with wrap_system_errors():
    shared.check(experiment.modes)
    experiment.check()
    _check_checkpoints(experiment)
    strategy = training_config.make_strategy(shared.strategy, shared.tpu, experiment.batch_size, shared.mode)
    console = shared.console or Console(stderr=True)
    experiment.read_data(console)
    config = _config(experiment, strategy)
    infers = shared.mode not in training_config.LOOP_MODES
    with (reserved(shared.model_dir, shared.mode, experiment.model_settings(config), strategy) as before_saving,
          process_state('float32' if infers else shared.precision)):
      task = experiment.make_task(config, strategy)
      if infers:
        made, folder = experiment.infer(config, task)
        console.print(Text(f'{made}: {folder}'), soft_wrap=True)
        return folder
      results = _train_or_evaluate(experiment, config, task, strategy, console, before_saving)
  return {**results, **experiment.notes(), 'seconds': time.monotonic() - started} if results else {}


def _check_checkpoints(experiment: Experiment) -> None:
  """Raises ArgumentError if the mode needs a checkpoint and there is none, or if there are only damaged ones."""
  if 'train' in experiment.shared.mode:
    newest_readable(experiment.shared.model_dir, logging.debug)  # whoever restores a checkpoint warns of damage
  else:
    latest_checkpoint(experiment.checkpoint_folder(), logging.debug)


def _config(experiment: Experiment, strategy: tf.distribute.Strategy) -> config_definitions.ExperimentConfig:
  shared = experiment.shared
  eval_batch_size = experiment.batch_size if shared.eval_batch_size is None else shared.eval_batch_size
  return config_definitions.ExperimentConfig(
      runtime=training_config.runtime_config(shared.strategy, shared.precision),
      task=experiment.task_config(training_config.whole_batch(eval_batch_size, strategy)),
      trainer=experiment.trainer_config())


def _train_or_evaluate(experiment: Experiment, config: config_definitions.ExperimentConfig, task: ResumableTask,
                       strategy: tf.distribute.Strategy, console: Console, before_saving: Callable[[], None]
                       ) -> Results:
  shared = experiment.shared
  runner = ExperimentRunner(
      strategy, task, shared.mode, config, shared.model_dir, console, experiment.training_figures,
      experiment.evaluation_figures(), shared.histograms, experiment.notes(), experiment.evaluation_checks(),
      before_saving)
  if 'train' in shared.mode:
    runner.describe(shared.operative_config, experiment.write_images)
  return runner.run()


@contextlib.contextmanager
def reserved(model_dir: str, mode: str, settings: dict[str, Any], strategy: tf.distribute.Strategy
             ) -> Iterator[Callable[[], None]]:
  """A context that reserves a model directory for one training run and checks which model it contains.

  In modes that train, the host that writes (the chief) makes the folder, locks it, and records the model's settings
  unless there is a record. Otherwise the settings are compared with the recorded ones.

  It yields a function to call before a checkpoint is saved, which raises ModelDirError if the directory that this host
  has locked was removed, moved or replaced.

  Args:
    model_dir: the path of the folder.
    mode: the trainer's mode.
    settings: the settings on which a checkpoint depends, JSON data; see `Experiment.model_settings`.
    strategy: the tf.distribute strategy, which knows whether this host is the chief.

  Raises:
    ModelDirError: if another process is training there, or the recorded settings differ or are missing.
  """
  with contextlib.ExitStack() as stack:
    if 'train' in mode and strategy.extended.should_checkpoint:
      os.makedirs(model_dir, exist_ok=True)
      file = stack.enter_context(open(os.path.join(model_dir, 'training.lock'), 'a', encoding='utf-8'))
      lock(file, 'training')
      model_settings.check_or_record(model_dir, settings)
      yield functools.partial(check_is_there, file, 'training')
      return
    if 'train' not in mode or os.path.exists(os.path.join(model_dir, model_settings.FILE)):
      model_settings.check(model_dir, settings)
    yield lambda: None


@contextlib.contextmanager
def process_state(policy: str) -> Iterator[None]:
  """A context with the given Keras precision policy, which also frees the gradients of graphs that are traced in it.

  Afterwards the previous policy and the previous step of `tf.summary` are restored.

  Args:
    policy: the name of the policy, such as 'mixed_bfloat16'.
  """
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
  """A decorator that adds the descriptions of the arguments in `SharedArguments` to a root function's docstring.

  The arguments that the docstring leaves out replace its line "The arguments of every trainer: see ...", so that `help`
  shows all arguments.

  Args:
    root: the root function.

  Returns:
    The same function, with a new docstring.

  Raises:
    KeyError: if an argument is documented neither in the docstring nor in `SharedArguments`.
  """
  text, shared_text = map(inspect.cleandoc, (root.__doc__, SharedArguments.__doc__))  # as from Python 3.13 on they are
  own, shared = map(_argument_texts, (text, shared_text))
  missing = [shared[name] for name in inspect.signature(root).parameters if name not in own]
  root.__doc__ = text.replace(_SHARED, ''.join(missing))
  return root


def _argument_texts(doc: str) -> dict[str, str]:
  """Returns the lines of a docstring that document each argument, by name; they are indented by two spaces or more."""
  return {match[1]: match[0] for match in re.finditer(r'^  (\w+): .*\n(?:    .*\n)*', f'{doc}\n', re.MULTILINE)}
