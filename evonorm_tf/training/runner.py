"""Model Garden's runner with our trainer, actions and checkpoints, which trains all our models."""

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
import tensorflow as tf
import tf_keras

from evonorm_tf.training import hosts
from evonorm_tf.training import log as training_log
from evonorm_tf.training.checkpoints import BestCheckpoint
from evonorm_tf.training.checkpoints import CheckpointManager
from evonorm_tf.training.finite_guard import FiniteGuard
from evonorm_tf.training.resumable import ResumableTask
from evonorm_tf.training.resumable import ResumableTrainer


class ExperimentRunner(train_lib.OrbitExperimentRunner):
  """Trains and evaluates; restores the newest checkpoint when it is made.

  Of several hosts, only the chief writes to the model directory; see `hosts`.

  Args:
    strategy: a tf.distribute strategy.
    task: a `ResumableTask`.
    mode: 'train', 'eval' or 'train_and_eval'.
    config: an ExperimentConfig.
    model_dir: receives checkpoints, best/ and TensorBoard events; in mode 'eval' only the events.
    console: a rich Console for the progress.
    training_figures: the figures of a training loop that the progress shows, as `TrainingLog` takes them.
    evaluation_figures: the same for an evaluation.
    histograms: whether TensorBoard gets histograms of γ and v1 of every layer.
    notes: texts by name that stand beside the results in best/info.json.
    checks: functions of the model and the results of an evaluation. They are called after each evaluation of a
      training; what they raise ends it.
  """

  def __init__(self, strategy: tf.distribute.Strategy, task: ResumableTask, mode: str,
               config: config_definitions.ExperimentConfig, model_dir: str, console: Console,
               training_figures: Mapping[str, str], evaluation_figures: Mapping[str, str], histograms: bool = False,
               notes: Mapping[str, str] | None = None,
               checks: Sequence[Callable[[tf_keras.Model, dict[str, float]], None]] = ()):
    self._is_chief = strategy.extended.should_checkpoint
    self._save_dir = hosts.own_folder(model_dir, strategy)
    self._histograms = histograms
    self._notes = notes
    self._checks = checks
    self._figures = training_figures, evaluation_figures
    self._console = console if self._is_chief else Console(quiet=True)
    self._results: dict[str, float] = {}
    super().__init__(strategy, task, mode, config, model_dir)
    hosts.check_same_step(strategy, self.trainer.global_step)

  def describe(self, operative_config: Callable[[], str] | None = None,
               write_images: Callable[[], None] | None = None) -> None:
    """Writes to TensorBoard what is known before the training.

    Args:
      operative_config: a function that returns the configuration as text; it is written to the model directory, too.
      write_images: a function that writes training images to the default summary writer.
    """
    if not self._is_chief:
      return
    with self._summary_manager.summary_writer().as_default():
      if write_images:
        write_images()
      if operative_config:
        text = operative_config()
        tf.summary.text('configuration', f'```\n{text}\n```', step=0)
        with open(os.path.join(self.model_dir, 'operative_config.gin'), 'w', encoding='utf-8') as file:
          file.write(text)

  def run(self) -> dict[str, float]:
    """Runs the mode; returns the results of the last evaluation. Mode 'train' has none."""
    with contextlib.ExitStack() as stack:
      for manager in (self._summary_manager, self._eval_summary_manager):
        stack.callback(manager.summary_writer().close)
      stack.enter_context(self.strategy.scope())
      if self._mode == 'eval':
        self._evaluate()
      else:
        stack.enter_context(self._log)
        self._train()
    return self._results

  def _train(self) -> None:
    steps, interval = self.params.trainer.train_steps, self.params.trainer.validation_interval
    step = int(self.trainer.global_step.numpy())
    if self._mode == 'train':
      interval = steps
    elif step and (step % interval == 0 or step >= steps):
      self._evaluate_training()  # the end of an earlier process may have cut it short; or training has ended before
    while step < steps:
      step = min(steps, step - step % interval + interval)
      self.controller.train(step, checkpoint_at_completion=step == steps)
      if self._mode != 'train':
        self._evaluate_training()

  def _evaluate_training(self) -> None:
    self._evaluate()
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
        trainer.best_checkpoint_metric_comp, self._is_chief, self._notes)

  def _maybe_build_checkpoint_manager(self):
    return CheckpointManager(
        self.trainer.checkpoint, self._save_dir, self.params.trainer.max_to_keep, step_counter=self.trainer.global_step,
        checkpoint_interval=self.params.trainer.checkpoint_interval, init_fn=self.trainer.initialize)

  def _build_controller(self, trainer, evaluator, **kwargs):
    step = self.trainer.global_step
    self._summary_manager, self._eval_summary_manager = (
        orbit.utils.SummaryManager(
            os.path.join(self.model_dir, folder) if self._is_chief and folder_mode in self._mode else None,
            tf.summary.scalar, step)
        for folder, folder_mode in (('train', 'train'), ('validation', 'eval')))
    self._log = training_log.TrainingLog(
        self.params.trainer.train_steps, self.trainer.model, step,
        self._summary_manager.summary_writer() if self._histograms else None, self._console, *self._figures)
    guard = FiniteGuard(self.trainer.loss_watch, self.trainer.model, step, self.model_dir)
    options = {**kwargs, 'train_actions': [guard, self._log], 'controller_cls': QuietController}
    controller = super()._build_controller(trainer, evaluator, **options)
    # Without Model Garden's own actions: the checkpoints hold the moving average already.
    controller.eval_actions = (self._log.evaluated,)
    return controller


class QuietController(orbit.Controller):
  """Orbit's controller without its messages on standard output, which `TrainingLog` shows in a better form.

  Args:
    **kwargs: as `orbit.Controller` takes them.
  """

  def __init__(self, **kwargs):
    with _orbit_silenced():
      super().__init__(**kwargs)

  def train(self, steps: int, checkpoint_at_completion: bool = True) -> None:
    """Trains until a step; see `orbit.Controller.train`."""
    with _orbit_silenced():
      super().train(steps, checkpoint_at_completion)

  def evaluate(self, steps: int = -1) -> Mapping[str, Any] | None:
    """Returns the results of an evaluation; see `orbit.Controller.evaluate`."""
    with _orbit_silenced():
      return super().evaluate(steps)


@contextlib.contextmanager
def _orbit_silenced() -> Iterator[None]:
  """Gives Orbit's module a `print` that does nothing, for as long as its controller works.

  Orbit has no option for it. Redirecting standard output would also silence what others print meanwhile, such as a data
  pipeline or an action; a name in the globals of Orbit's module hides the built-in `print` from that module alone.
  """
  previous = vars(orbit.controller).get('print', print)
  orbit.controller.print = lambda message: None
  try:
    yield
  finally:
    orbit.controller.print = previous
