"""Model Garden's runner with our trainer, actions and checkpoints: what run_classification starts."""

import contextlib
import os

import orbit
from official.core import train_lib
from official.core import train_utils
from rich.console import Console
import tensorflow as tf

from evonorm_tf import hosts
from evonorm_tf import training_log
from evonorm_tf.classification_checkpoints import BestCheckpoint
from evonorm_tf.classification_checkpoints import CheckpointManager
from evonorm_tf.classification_task import ClassificationTrainer
from evonorm_tf.finite_guard import FiniteGuard


class ClassificationRunner(train_lib.OrbitExperimentRunner):
  """Trains and evaluates; restores the newest checkpoint when it is made.

  Of several hosts the chief alone writes to the model directory; see `hosts`.

  Args:
    strategy: a tf.distribute strategy.
    task: a `ClassificationTask`.
    mode: 'train', 'eval' or 'train_and_eval'.
    config: an ExperimentConfig.
    model_dir: receives checkpoints, best/ and TensorBoard events; in mode 'eval' the latter alone.
    histograms: whether TensorBoard gets histograms of γ and v1 of every layer.
    console: a rich Console for the progress.
  """

  def __init__(self, strategy, task, mode, config, model_dir, histograms, console):
    self._is_chief = strategy.extended.should_checkpoint
    self._save_dir = hosts.own_folder(model_dir, strategy)
    self._histograms = histograms
    self._console = console if self._is_chief else Console(quiet=True)
    self._results = {}
    super().__init__(strategy, task, mode, config, model_dir)
    hosts.check_same_step(strategy, self.trainer.global_step)

  def describe(self, data, seed: int, operative_config) -> None:
    """Writes the configuration, and what the network will see of the images, to TensorBoard."""
    if not self._is_chief:
      return
    with self._summary_manager.summary_writer().as_default():
      batch_size = min(training_log.IMAGES, self.params.task.train_data.global_batch_size)
      training_log.write_images(data.training_batches(batch_size, seed))
      if operative_config:
        text = operative_config()
        tf.summary.text('configuration', f'```\n{text}\n```', step=0)
        with open(os.path.join(self.model_dir, 'operative_config.gin'), 'w', encoding='utf-8') as file:
          file.write(text)

  def run(self) -> dict:
    """Returns the results of the last evaluation, of which mode 'train' has none."""
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
      self._evaluate()  # which the end of the process may have cut short; or training has ended before
    while step < steps:
      step = min(steps, step - step % interval + interval)
      self.controller.train(step, checkpoint_at_completion=step == steps)
      if self._mode != 'train':
        self._evaluate()

  def _evaluate(self) -> None:
    output = self.controller.evaluate(steps=self.params.trainer.validation_steps)
    self._results = {name: float(value) for name, value in output.items()}
    self._results['step'] = int(self.trainer.global_step.numpy())

  def _build_trainer(self, task, train, evaluate):
    with self.strategy.scope():
      return train_utils.create_trainer(
          self.params, task, train, evaluate, self._build_best_checkpoint_exporter() if train else None,
          trainer_cls=ClassificationTrainer)

  def _build_best_checkpoint_exporter(self):
    trainer = self.params.trainer
    return BestCheckpoint(
        os.path.join(self._save_dir, trainer.best_checkpoint_export_subdir), trainer.best_checkpoint_eval_metric,
        trainer.best_checkpoint_metric_comp, self._is_chief)

  def _maybe_build_checkpoint_manager(self):
    return CheckpointManager(
        self.trainer.checkpoint, self._save_dir, self.params.trainer.max_to_keep, step_counter=self.trainer.global_step,
        checkpoint_interval=self.params.trainer.checkpoint_interval)

  def _build_controller(self, trainer, evaluator, **kwargs):
    step = self.trainer.global_step
    self._summary_manager, self._eval_summary_manager = (
        orbit.utils.SummaryManager(
            os.path.join(self.model_dir, folder) if self._is_chief and folder_mode in self._mode else None,
            tf.summary.scalar, step)
        for folder, folder_mode in (('train', 'train'), ('validation', 'eval')))
    self._log = training_log.TrainingLog(
        self.params.trainer.train_steps, self.trainer.model, step,
        self._summary_manager.summary_writer() if self._histograms else None, self._console)
    guard = FiniteGuard(self.trainer.task.loss_watch, self.trainer.model, step, self.model_dir)
    controller = super()._build_controller(trainer, evaluator, **{**kwargs, 'train_actions': [guard, self._log]})
    # Without Model Garden's own: the checkpoints hold the moving average already.
    controller.eval_actions = (self._log.evaluated,)
    return controller
