"""The runner that trains and evaluates all models.

It is the runner of the TensorFlow Model Garden with this package's trainer, actions and checkpoints. Orbit is Model
Garden's loop library; it calls actions after each training loop or evaluation.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
from typing import Any

from official.core import config_definitions
from official.core import train_lib
from official.core import train_utils
import orbit
from rich.console import Console
from rich.text import Text
import tensorflow as tf
import tf_keras

from evonorm_tf import termination
from evonorm_tf.errors import unwritable_file
from evonorm_tf.output.model_dir import replacing
from evonorm_tf.training import hosts
from evonorm_tf.training import log as training_log
from evonorm_tf.training.checkpoints import BestCheckpoint
from evonorm_tf.training.checkpoints import CheckpointManager
from evonorm_tf.training.finite_guard import FiniteGuard
from evonorm_tf.training.resumable import ResumableTask
from evonorm_tf.training.resumable import ResumableTrainer


class ExperimentRunner(train_lib.OrbitExperimentRunner):
  """Model Garden's runner of training and evaluation, with exact resumption; its constructor restores a checkpoint.

  If there is no checkpoint, training starts from the initial weights. Among several hosts, only the first one, the
  chief, writes to the model directory; see `evonorm_tf.training.hosts`.

  Args:
    strategy: the tf.distribute strategy.
    task: the task to train.
    mode: 'train', 'eval' or 'train_and_eval'.
    config: the experiment's complete Model Garden configuration.
    model_dir: the folder that receives checkpoints, best/ and TensorBoard events; in mode 'eval', only the events.
    console: the rich Console that shows the progress, on the chief only.
    training_figures: the results of a training loop to show on the console, by name, each with a format string such as
      'loss {:.3f}'.
    evaluation_figures: the same for the results of an evaluation.
    histograms: whether to write histograms of every layer's γ and v1 to TensorBoard, by default False.
    notes: texts by name to write beside the results in best/info.json; None, the default, for none.
    checks: functions (model, results) to call after each evaluation during training, by default none. If one raises an
      exception, training ends with it.
    before_saving: is called before each checkpoint, likewise; None, the default, for nothing.

  Raises:
    ArgumentError: if the newest checkpoint belongs to another model or optimizer, or the hosts restore checkpoints of
      different steps.
  """

  def __init__(self, strategy: tf.distribute.Strategy, task: ResumableTask, mode: str,
               config: config_definitions.ExperimentConfig, model_dir: str, console: Console,
               training_figures: Mapping[str, str], evaluation_figures: Mapping[str, str], histograms: bool = False,
               notes: Mapping[str, str] | None = None,
               checks: Sequence[Callable[[tf_keras.Model, dict[str, float]], None]] = (),
               before_saving: Callable[[], None] | None = None):
    self._is_chief = strategy.extended.should_checkpoint
    self._save_dir = hosts.own_folder(model_dir, strategy)
    self._histograms = histograms
    self._notes = notes
    self._checks = checks
    self._before_saving = before_saving
    self._figures = training_figures, evaluation_figures
    self._console = console if self._is_chief else Console(quiet=True)
    self._results: dict[str, float] = {}
    super().__init__(strategy, task, mode, config, model_dir)
    hosts.check_same_step(strategy, self.trainer.global_step)

  def describe(self, operative_config: Callable[[], str] | None = None,
               write_images: Callable[[], None] | None = None) -> None:
    """Writes the configuration and some training images to TensorBoard before training, on the chief only.

    Args:
      operative_config: a function that returns the configuration as text, which is also written to the model directory
        as operative_config.gin; None, the default, to write none.
      write_images: a function that writes training images to the default summary writer, which is called where the
        training begins and not where it is resumed; None, the default, to write none.
    """
    if not self._is_chief:
      return
    with self._summary_manager.summary_writer().as_default():
      if write_images and not int(self.trainer.global_step.numpy()):
        write_images()
      if operative_config:
        text = operative_config()
        tf.summary.text('configuration', f'```\n{text}\n```', step=0)
        with replacing(os.path.join(self.model_dir, 'operative_config.gin')) as file:
          file.write_text(text, encoding='utf-8')

  def run(self) -> dict[str, float]:
    """Trains and evaluates as the mode says.

    Returns:
      The results of the last evaluation by name, and its `step`; an empty dict in mode 'train'.

    Raises:
      NotFiniteError: if the loss or a weight is no longer finite.
      KeyboardInterrupt: after a request of `evonorm_tf.termination`, when a checkpoint of the last step is saved.
    """
    with contextlib.ExitStack() as stack:
      for manager in (self._summary_manager, self._eval_summary_manager):
        stack.callback(manager.summary_writer().close)
      stack.enter_context(self.strategy.scope())
      if self._mode == 'eval':
        self._evaluate()
      else:
        stack.enter_context(self._log)
        stack.enter_context(termination.heeded())
        self._train()
    return self._results

  def _train(self) -> None:
    steps, interval = self.params.trainer.train_steps, self.params.trainer.validation_interval
    step = int(self.trainer.global_step.numpy())
    if self._mode == 'train':
      interval = steps
    elif step and (step % interval == 0 or step >= steps):
      self._evaluate_training()  # an earlier process may have stopped before this evaluation, or training is complete
    while step < steps:
      step = min(steps, step - step % interval + interval)
      self.controller.train(step, checkpoint_at_completion=step == steps)
      if self._mode != 'train':
        self._evaluate_training()

  def _evaluate_training(self) -> None:
    self._evaluate()
    if termination.requested():  # before the checks, which the resumed training carries out after its evaluation
      self.controller.save_checkpoint()  # and ends the training
    for check in self._checks:
      check(self.trainer.model, self._results)

  def _evaluate(self) -> None:
    output = self.controller.evaluate(steps=self.params.trainer.validation_steps)
    self._results = {name: float(value) for name, value in output.items()}
    self._results['step'] = int(self.trainer.global_step.numpy())

  def _build_trainer(self, task, train, evaluate):
    with self.strategy.scope():
      return train_utils.create_trainer(
          self.params, task, train, evaluate, self._build_best_checkpoint_exporter() if train else None,
          trainer_cls=ResumableTrainer)

  def _build_best_checkpoint_exporter(self):
    trainer = self.params.trainer
    return BestCheckpoint(
        os.path.join(self._save_dir, trainer.best_checkpoint_export_subdir), trainer.best_checkpoint_eval_metric,
        trainer.best_checkpoint_metric_comp, self._is_chief, self._notes, self._before_saving)

  def _maybe_build_checkpoint_manager(self):
    return CheckpointManager(
        self.trainer.checkpoint, self._save_dir, self.params.trainer.max_to_keep, self._before_saving,
        step_counter=self.trainer.global_step, checkpoint_interval=self.params.trainer.checkpoint_interval,
        init_fn=self.trainer.initialize)

  def _build_controller(self, trainer, evaluator, **kwargs):
    step = self.trainer.global_step
    self._summary_manager, self._eval_summary_manager = (
        self._summaries(folder if self._is_chief and folder_mode in self._mode else None)
        for folder, folder_mode in (('train', 'train'), ('validation', 'eval')))
    self._log = training_log.TrainingLog(
        self.params.trainer.train_steps, self.trainer.model, step,
        self._summary_manager.summary_writer() if self._histograms else None, self._console, *self._figures)
    guard = FiniteGuard(self.trainer.loss_watch, self.trainer.model, step, self.model_dir)
    options = {**kwargs, 'train_actions': [guard, self._log], 'controller_cls': QuietController}
    controller = super()._build_controller(trainer, evaluator, **options)
    # Model Garden's own actions are dropped, since the checkpoints already contain the moving average.
    controller.eval_actions = (self._log.evaluated,)
    return controller


  def _summaries(self, folder: str | None) -> orbit.utils.SummaryManager:
    """Returns the writer of TensorBoard summaries to a folder of the model directory, which writes nothing for None.

    An evaluation alone also does without the summaries, after a message, if the folder cannot be written.
    """
    step = self.trainer.global_step
    manager = orbit.utils.SummaryManager(
        os.path.join(self.model_dir, folder) if folder else None, tf.summary.scalar, step)
    if self._mode == 'eval':
      try:
        manager.summary_writer()
      except tf.errors.OpError as e:
        reason = unwritable_file(e)
        if reason is None:
          raise
        self._console.print(Text(f'The results are not stored: {reason}'), soft_wrap=True)
        return orbit.utils.SummaryManager(None, tf.summary.scalar, step)
    return manager


class QuietController(orbit.Controller):
  """Orbit's training and evaluation loop without its messages on standard output; `TrainingLog` shows them instead.

  Args:
    **kwargs: the arguments of `orbit.Controller`.
  """

  def __init__(self, **kwargs):
    with _orbit_silenced():
      super().__init__(**kwargs)

  def train(self, steps: int, checkpoint_at_completion: bool = True) -> None:
    """Trains up to a step.

    Args:
      steps: the global step at which to stop.
      checkpoint_at_completion: whether to save a checkpoint at that step, by default True.
    """
    with _orbit_silenced():
      super().train(steps, checkpoint_at_completion)

  def evaluate(self, steps: int = -1) -> Mapping[str, Any] | None:
    """Evaluates the model and returns the results by name.

    Args:
      steps: the number of batches to evaluate; −1, the default, for all of the evaluation data.
    """
    with _orbit_silenced():
      return super().evaluate(steps)

  def _maybe_save_checkpoint(self, check_interval: bool = True) -> bool:
    """Saves a checkpoint where Orbit would, after each loop; where the process shall end, in any case, and ends."""
    ends = termination.requested()
    is_saved = super()._maybe_save_checkpoint(check_interval and not ends)
    if ends:
      raise KeyboardInterrupt
    return is_saved


@contextlib.contextmanager
def _orbit_silenced() -> Iterator[None]:
  """A context in which Orbit's controller module has a `print` that does nothing.

  Orbit has no option for this. Redirecting standard output would also silence other code, such as a data pipeline or an
  action. A name in the globals of Orbit's module hides the built-in `print` from that module only.
  """
  previous = vars(orbit.controller).get('print', print)
  orbit.controller.print = lambda message: None
  try:
    yield
  finally:
    orbit.controller.print = previous
