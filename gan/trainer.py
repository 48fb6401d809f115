"""The GAN trainer: run_gan trains, evaluates or shows a class-conditional GAN with a norm-activation layer.

The layer stands in the generator. `evonorm_tf.training.experiment` runs the experiment; this module describes it.
Statistics over a batch are those of a replica's generated images unless `norm_act_options` asks for synchronized ones.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
from typing import Any
from typing import Protocol as TypingProtocol

from official.core import config_definitions
from rich.console import Console
import tensorflow as tf
import tf_keras

from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.layers.norm_act import NormActFactory
from evonorm_tf.training import config as training_config
from evonorm_tf.training import experiment
from evonorm_tf.training.checkpoints import trained_model
from evonorm_tf.training.config import SharedArguments
from gan.data import GanData
from gan.samples import pictures
from gan.samples.evaluation import describe
from gan.samples.evaluation import make_evaluation
from gan.scores.protocol import Protocol
from gan.training.collapse import CollapseGuard
from gan.training.optimizer import Adams
from gan.training.step import StepSettings
from gan.training.task import AdversarialTask

MODES = (*training_config.LOOP_MODES, 'sample')


class Networks(TypingProtocol):
  """Settings of both networks, a dataclass such as a `networks.BigGAN`; checkpoints of other settings are refused."""

  def make_generator(self, norm_act: NormActFactory, resolution: int, num_classes: int,
                     name: str = 'generator') -> tf_keras.Model:
    """Returns a generator of images, from z and labels; ArgumentError if there is none of the resolution."""

  def make_discriminator(self, resolution: int, num_classes: int) -> tf_keras.Model:
    """Returns a discriminator, from images and labels to logits."""


@experiment.documents_shared_arguments
def run_gan(
    model_dir: str, mode: str, norm_act: str | os.PathLike, networks: Networks, data: GanData, step: StepSettings,
    adams: Adams, steps: int, protocol: Protocol, norm_act_options: Mapping[str, Any] | None = None,
    standing_batches: int = 0, eval_batch_size: int | None = None, max_fid: float | None = None,
    max_fid_evaluations: int = 3, statistics_dir: str | None = None, truncation: float | None = None,
    classes: Sequence[int] | None = None, from_best: bool = False, seed: int = 0, strategy: str = 'one_device',
    tpu: str | None = None, precision: str = 'float32', jit_compile: bool = False, steps_per_loop: int = 20,
    steps_between_evaluations: int = 1000, steps_between_checkpoints: int = 1000, checkpoints_to_keep: int = 3,
    histograms: bool = False, operative_config: Callable[[], str] | None = None,
    console: Console | None = None) -> experiment.Results | str:
  """Runs one experiment; the same arguments on the same `model_dir` go on where it stopped.

  Of the process's state, the seeds of Python, NumPy and TensorFlow are changed (`tf_keras.utils.set_random_seed`).

  Args:
    model_dir: receives checkpoints, TensorBoard events (train/, validation/), best/ by FID and, in mode 'sample',
      samples/.
    mode: one of `MODES`. 'sample' writes pictures that the averaged generator of a checkpoint makes.
    norm_act: the layer in every norm-act place of the generator: a name or the path of a layer graph, as `get_norm_act`
      takes it.
    networks: makes both networks, such as a `networks.BigGAN`.
    data: the images, such as a `data.Cifar10` or a `data.ImageNet`.
    step: the settings of a training step.
    adams: the settings of the optimizers.
    steps: training steps of the generator.
    protocol: how samples are measured, a `metrics.Protocol`.
    standing_batches: batches of standing statistics for images of the averaged generator; 0 for moving averages.
    eval_batch_size: samples made at a time; default: that of training; rounded up to a multiple of the replicas.
    max_fid: an evaluation with an FID above it is bad; None for no bound.
    max_fid_evaluations: how many bad evaluations in a row end the training.
    statistics_dir: receives the statistics of real images; default: real_statistics/ in `model_dir`.
    truncation: for mode 'sample' alone: the bound of |z|; None for no bound.
    classes: for mode 'sample' alone: the labels of the rows; None for ten or fewer, spread over all.
    from_best: for mode 'sample' alone: whether the checkpoint is the best one and not the newest.
    seed: of initial weights, order of the images, z and labels.
    steps_between_evaluations: the last one is at the end.
    steps_between_checkpoints: a checkpoint is saved at the end of a loop.
    histograms: whether TensorBoard gets histograms of v1 and of unconditional γ.
    The arguments of every trainer: see `training.config.SharedArguments`.

  Returns:
    Of the modes that evaluate: a dictionary of the scores, such as `fid` and `inception_score`, `protocol` (a line that
    says how they were measured), `seconds`, `step` and, of 'train_and_eval', `best_fid`. Of 'sample': the folder of the
    pictures. Of 'train': {}.

  Raises:
    ArgumentError: for a bad argument, missing data, or a `model_dir` that is in use or holds another model.
    NotFiniteError: if a loss or a weight is not finite any more; the last good checkpoint is kept.
    Collapse: if FID stays above `max_fid`; the best checkpoint is kept.
    MachineError, TensorFlowError: if the machine is at fault.
  """
  shared = SharedArguments(
      model_dir, mode, norm_act, norm_act_options, eval_batch_size, seed, strategy, tpu, precision, jit_compile,
      steps_per_loop, checkpoints_to_keep, histograms, operative_config, console)
  return experiment.run_experiment(_Adversarial(
      shared, networks, data, step, adams, protocol, steps, steps_between_evaluations, steps_between_checkpoints,
      standing_batches, max_fid, max_fid_evaluations, statistics_dir, truncation, classes, from_best))


@dataclasses.dataclass(frozen=True)
class _Adversarial(experiment.Experiment):
  """The arguments of `run_gan`."""
  shared: SharedArguments
  networks: Networks
  data: GanData
  step: StepSettings
  adams: Adams
  protocol: Protocol
  steps: int
  steps_between_evaluations: int
  steps_between_checkpoints: int
  standing_batches: int
  max_fid: float | None
  max_fid_evaluations: int
  statistics_dir: str | None
  truncation: float | None
  classes: Sequence[int] | None
  from_best: bool

  modes = MODES
  training_figures = {'d_loss': 'd_loss {:.3f}', 'g_loss': 'g_loss {:.3f}'}

  @property
  def batch_size(self) -> int:
    return self.step.batch_size

  def check(self) -> None:
    checks.check_integers(
        1, steps=self.steps, max_fid_evaluations=self.max_fid_evaluations,
        steps_between_evaluations=self.steps_between_evaluations,
        steps_between_checkpoints=self.steps_between_checkpoints)
    checks.check_integers(0, standing_batches=self.standing_batches)
    checks.check_positive(**({} if self.max_fid is None else {'max_fid': self.max_fid}))
    self._check_pictures()
    # Only to see whether there are such networks.
    self.networks.make_generator(self._norm_act(), self.data.image_size, self.data.num_classes)
    self.networks.make_discriminator(self.data.image_size, self.data.num_classes)

  def _check_pictures(self) -> None:
    """Raises ArgumentError unless the arguments of pictures can be, and are given for mode 'sample' alone."""
    mode, count = self.shared.mode, self.data.num_classes
    for name, value in (('truncation', self.truncation), ('classes', self.classes),
                        ('from_best', self.from_best or None)):
      if value is not None and mode != 'sample':
        raise ArgumentError(f"`{name}` is for mode 'sample' alone, received {value!r} for {mode!r}.")
    if self.truncation is not None:
      checks.check_positive(truncation=self.truncation)
    if self.classes is not None and (not self.classes or any(label not in range(count) for label in self.classes)):
      raise ArgumentError(f'`classes` must be labels from 0 to {count - 1}, received {self.classes!r}.')

  def checkpoint_folder(self) -> str:
    return os.path.join(self.shared.model_dir, 'best') if self.from_best else self.shared.model_dir

  def read_data(self, console: Console) -> None:
    self.data.check()

  def task_config(self, eval_batch_size: int) -> config_definitions.TaskConfig:
    return config_definitions.TaskConfig(
        train_data=config_definitions.DataConfig(is_training=True, global_batch_size=self.step.images),
        validation_data=config_definitions.DataConfig(is_training=False, global_batch_size=eval_batch_size))

  def trainer_config(self) -> config_definitions.TrainerConfig:
    return training_config.loop_config(
        self.steps, self.shared.steps_per_loop, self.steps_between_evaluations, self.steps_between_checkpoints,
        self.shared.checkpoints_to_keep, best_metric='fid', best_is='lower')

  def model_settings(self, config: config_definitions.ExperimentConfig) -> dict[str, Any]:
    return {
        **dataclasses.asdict(self.networks), 'image_size': self.data.image_size, 'num_classes': self.data.num_classes,
        'norm_act': training_config.norm_act_settings(self.shared.norm_act), 'norm_act_options': self.shared.options,
        **self.adams.settings(), 'loss_scale': config.runtime.loss_scale}

  def make_task(self, config: config_definitions.ExperimentConfig, strategy: tf.distribute.Strategy) -> AdversarialTask:
    shared, evaluation = self.shared, None
    if 'eval' in shared.mode:
      evaluation = make_evaluation(
          self.protocol, self.data, config.task.validation_data.global_batch_size, shared.seed, strategy,
          self.statistics_dir or os.path.join(shared.model_dir, 'real_statistics'))
    return AdversarialTask(
        config.task, self.networks, self._norm_act(), self.data, self.step, self.adams, shared.seed, shared.jit_compile,
        self.standing_batches, evaluation)

  def infer(self, config: config_definitions.ExperimentConfig, task: AdversarialTask) -> tuple[str, str]:
    generator = trained_model(task, config, self.checkpoint_folder()).average
    with task.standing(generator):
      grids = pictures.Pictures(generator, task.seed, self.classes, self.truncation).grids()
    folder = os.path.join(self.shared.model_dir, 'samples')
    pictures.write_files(grids, folder)
    return 'Pictures', folder

  def evaluation_figures(self) -> Mapping[str, str]:
    # With the name of the network, since scores by one network say nothing about those by another.
    return {
        'fid': 'FID {:.2f}', 'inception_score': 'Inception Score {:.2f}', 'kid': 'KID {:.4f}',
        'precision': 'precision {:.3f}', 'recall': f'recall {{:.3f}} by {self.protocol.network_name}'}

  def notes(self) -> dict[str, str]:
    return {'protocol': describe(self.protocol, self.data)}

  def evaluation_checks(self) -> Sequence[Callable[[tf_keras.Model, experiment.Results], None]]:
    return [CollapseGuard(self.max_fid, self.max_fid_evaluations, self.shared.model_dir)]

  def write_images(self) -> None:
    images, _ = next(iter(self.data.training_batches(pictures.COLUMNS**2, self.shared.seed)))
    pictures.write_to_tensorboard({'real': pictures.make_grid(images.numpy(), pictures.COLUMNS)}, step=0)

  def _norm_act(self) -> NormActFactory:
    return get_norm_act(self.shared.norm_act, **self.shared.options)
