"""The GAN trainer, which trains and evaluates class-conditional GANs with any norm-activation layer (as in the paper).

The layer is used in the generator; the discriminator has no normalization layer. This module defines the root function
`run_gan` and describes the experiment; `evonorm_tf.training.experiment` runs it. Batch statistics are computed over the
generated images of one replica unless `norm_act_options` asks for synchronized ones.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
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
from evonorm_tf.layers.registry import norm_act_settings
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
_MOST_STANDING_IMAGES = 64  # of a batch, in mode 'sample'


class Networks(TypingProtocol):
  """The protocol for the settings of generator and discriminator, a dataclass such as `gan.networks.BigGAN`.

  A model directory records the fields of the dataclass. A later run with other values is refused there.
  """

  def make_generator(self, norm_act: NormActFactory, resolution: int, num_classes: int,
                     name: str = 'generator') -> tf_keras.Model:
    """Returns a generator, a model from (z, labels) to images; its weights need not exist yet.

    Args:
      norm_act: a factory of the generator's norm-activation layers.
      resolution: the height and width of the images in pixels.
      num_classes: the number of classes.
      name: the name of the Keras model (default 'generator').

    Raises:
      ArgumentError: if there is no generator of this resolution.
    """

  def make_discriminator(self, resolution: int, num_classes: int) -> tf_keras.Model:
    """Returns a discriminator, a model from (images, labels) to logits; its weights need not exist yet.

    Args:
      resolution: the height and width of the images in pixels.
      num_classes: the number of classes.

    Raises:
      ArgumentError: if there is no discriminator of this resolution.
    """


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
  """Trains or evaluates a GAN or draws samples; the same call with the same `model_dir` resumes where it stopped.

  Evaluations and samples use the averaged generator, whose weights are a moving average of the trained generator's.
  This sets the global seeds of Python, NumPy and TensorFlow (`tf_keras.utils.set_random_seed`).

  Args:
    model_dir: the folder that receives checkpoints, TensorBoard events (train/, validation/), the checkpoint with the
      lowest Fréchet Inception Distance (FID) (best/) and, in mode 'sample', pictures (samples/).
    mode: one of `MODES`: 'train', 'eval' (scores of the newest checkpoint), 'train_and_eval', or 'sample' (pictures
      made by a checkpoint).
    norm_act: the layer in every norm-act place of the generator: a name such as 'evonorm_b0', or the path of a layer
      graph's JSON file; see `layers.norm_act.get_norm_act`.
    networks: the settings of both networks, such as a `gan.networks.BigGAN`.
    data: the data object that supplies the images, such as a `gan.data.Cifar10` or a `gan.data.ImageNet`.
    step: the settings of a training step, with the batch size and the losses.
    adams: the settings of both optimizers.
    steps: the number of training steps. Each has one step of the generator and `step.d_steps` of the discriminator.
    protocol: the settings of the scores.
    standing_batches: the number of batches from which the averaged generator's batch statistics are computed before an
      evaluation or samples (standing statistics); 0, the default, uses the moving averages of training. A batch has
      `step.batch_size` images; in mode 'sample', which has one device, larger ones are divided into some of at most 64,
      whose variances are a little smaller.
    eval_batch_size: the number of samples made at a time, over all replicas, rounded up to a multiple of their number;
      None (default) for `step.batch_size`.
    max_fid: the FID above which an evaluation is bad; None (default) for no bound.
    max_fid_evaluations: the number of bad evaluations in a row that ends the training; default 3.
    statistics_dir: the folder that contains the statistics of the real images or receives them; None (default) for
      real_statistics/ in `model_dir`.
    truncation: the bound of the absolute values in z, for mode 'sample' only; None (default) for no bound.
    classes: the labels of the pictures' rows, for mode 'sample' only; None (default) for at most ten, evenly spread
      over all classes.
    from_best: whether to take the best checkpoint instead of the newest, for mode 'sample' only; default False.
    seed: the seed of initial weights, order of the images, z and labels, an integer of at least 0; default 0.
    steps_between_evaluations: the number of steps between evaluations, default 1000; the last one is at the end.
    steps_between_checkpoints: the least number of steps between checkpoints, default 1000. They are saved only at the
      end of a loop of `steps_per_loop` steps.
    histograms: whether to write histograms of v1 and of γ to TensorBoard; a γ that depends on the class has none.
      Default: False.
    The arguments of every trainer: see `training.config.SharedArguments`.

  Returns:
    In modes 'eval' and 'train_and_eval', a dict with the results of the last evaluation: the scores of
    `gan.scores.scores`, such as `fid` and `inception_score`; `protocol`, a line that says how they were measured;
    `step`; `seconds`, the time of this call; and, in 'train_and_eval', `best_fid`. In mode 'sample', the path of the
    folder with the pictures. In mode 'train', an empty dict.

  Raises:
    ArgumentError: for an invalid argument, missing data, or a `model_dir` that is in use or contains another model.
    NotFiniteError: if a loss or a weight is no longer finite; the last good checkpoint is kept.
    Collapse: if FID is above `max_fid` in `max_fid_evaluations` evaluations in a row; the best checkpoint is kept.
    MachineError, TensorFlowError: if the operating system or TensorFlow fails, for instance for lack of memory.
  """
  shared = SharedArguments(
      model_dir, mode, norm_act, norm_act_options, eval_batch_size, seed, strategy, tpu, precision, jit_compile,
      steps_per_loop, checkpoints_to_keep, histograms, operative_config, console)
  return experiment.run_experiment(_Adversarial(
      shared, networks, data, step, adams, protocol, steps, steps_between_evaluations, steps_between_checkpoints,
      standing_batches, max_fid, max_fid_evaluations, statistics_dir, truncation, classes, from_best))


@dataclasses.dataclass(frozen=True)
class _Adversarial(experiment.Experiment):
  """The experiment that `run_gan` describes, with its arguments."""
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
    # The networks are made only to see whether their settings are valid.
    self.networks.make_generator(self._norm_act(), self.data.image_size, self.data.num_classes)
    self.networks.make_discriminator(self.data.image_size, self.data.num_classes)

  def _check_pictures(self) -> None:
    """Raises ArgumentError if an argument of the pictures is invalid or is given in another mode than 'sample'."""
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
    if self.shared.mode != 'sample':  # which needs the data object alone
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
        'norm_act': norm_act_settings(self.shared.norm_act), 'norm_act_options': self.shared.options,
        **self.adams.settings(), 'loss_scale': config.runtime.loss_scale}

  def make_task(self, config: config_definitions.ExperimentConfig, strategy: tf.distribute.Strategy) -> AdversarialTask:
    shared, evaluation = self.shared, None
    if 'eval' in shared.mode:
      evaluation = make_evaluation(
          self.protocol, self.data, config.task.validation_data.global_batch_size, shared.seed, strategy,
          self.statistics_dir or os.path.join(shared.model_dir, 'real_statistics'))
    batches, size = self.standing_batches, self.step.batch_size
    if shared.mode == 'sample':  # on one device, whatever has trained: as many images, but fewer at a time
      parts = math.ceil(size / _MOST_STANDING_IMAGES)
      batches, size = batches * parts, math.ceil(size / parts)
    return AdversarialTask(
        config.task, self.networks, self._norm_act(), self.data, self.step, self.adams, shared.seed, shared.jit_compile,
        batches, size, evaluation)

  def infer(self, config: config_definitions.ExperimentConfig, task: AdversarialTask) -> tuple[str, str]:
    generator = trained_model(task, config, self.checkpoint_folder()).average
    with task.standing():
      grids = pictures.Pictures(generator, task.seed, self.classes, self.truncation).grids()
    folder = os.path.join(self.shared.model_dir, 'samples')
    pictures.write_files(grids, folder)
    return 'Pictures', folder

  def evaluation_figures(self) -> Mapping[str, str]:
    # The feature network is named, because scores by different networks are not comparable.
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
