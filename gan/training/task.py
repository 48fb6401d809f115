"""The GAN task of Model Garden's runner: networks, data and evaluation by samples around the `AdversarialStep`.

A resumed training run continues exactly: both networks and their optimizers, the average, the data, z and labels.
Evaluation uses the averaged generator alone.
"""

from collections.abc import Sequence
import contextlib
from typing import Any

import numpy as np
from official.core import config_definitions
import tensorflow as tf
import tf_keras

from evonorm_tf.layers.norm_act import NormActFactory
from evonorm_tf.training.resumable import ResumableTask
from gan.data import GanData
from gan.networks.biggan import BigGAN
from gan.networks.spectral_norm import singular_values
from gan.samples import pictures
from gan.samples.evaluation import SampleEvaluation
from gan.samples.standing_statistics import standing_statistics
from gan.training.model import AdversarialModel
from gan.training.optimizer import Adams
from gan.training.optimizer import AdversarialOptimizer
from gan.training.step import AdversarialStep
from gan.training.step import StepSettings


class AdversarialTask(ResumableTask, AdversarialStep):
  """Training and evaluation of a GAN.

  Args:
    params: Model Garden's TaskConfig; the global batch of `train_data` is `settings.images`.
    networks: settings that make both networks, such as a `BigGAN`.
    norm_act: a factory of `get_norm_act`, for the generator.
    data: the images.
    settings: of the step.
    adams: settings of the optimizers.
    seed: of initial weights, the order of the images, z and labels.
    jit_compile: whether XLA compiles the training step.
    standing: the number of batches for standing statistics; 0 for the moving averages.
    evaluation: makes and measures samples; None if there are no evaluations.
  """

  def __init__(self, params: config_definitions.TaskConfig, networks: BigGAN, norm_act: NormActFactory, data: GanData,
               settings: StepSettings, adams: Adams, seed: int, jit_compile: bool = False, standing: int = 0,
               evaluation: SampleEvaluation | None = None):
    super().__init__(params, seed, jit_compile, settings=settings)
    self._networks = networks
    self._norm_act = norm_act
    self._data = data
    self._adams = adams
    self._evaluation = evaluation
    self._standing = standing
    self._generator = None
    self._during_evaluation = contextlib.ExitStack()

  def skipped_records(self) -> int:
    """Returns how many images this process could not read so far."""
    return self._data.skipped_records()

  def build_model(self) -> AdversarialModel:
    """Returns the built networks; their initial weights follow from the seed."""
    tf_keras.utils.set_random_seed(self.seed)
    data, labels = self._data, tf.zeros([1], tf.int32)
    generator, average = (
        self._networks.make_generator(self._norm_act, data.image_size, data.num_classes, name)
        for name in ('generator', 'average'))
    discriminator = self._networks.make_discriminator(data.image_size, data.num_classes)
    for network in (generator, average):
      images = network((tf.zeros([1, network.z_size]), labels), training=False)
    discriminator((images, labels), training=False)
    self._generator = average
    return AdversarialModel(generator, discriminator, average)

  def initialize(self, model: AdversarialModel) -> None:
    """Does nothing: there is no pretrained GAN to begin with."""

  def create_optimizer(self, optimizer_config: Any, runtime_config: config_definitions.RuntimeConfig | None = None,
                       dp_config: Any = None) -> AdversarialOptimizer:
    """Returns the optimizers of `adams`; `optimizer_config` and `dp_config` are not used."""
    return AdversarialOptimizer(self._adams, runtime_config)

  def create_slots(self, optimizer: AdversarialOptimizer, model: AdversarialModel) -> None:
    """Makes all variables of both optimizers."""
    optimizer.create_slots(model)

  def build_inputs(self, params: config_definitions.DataConfig,
                   input_context: tf.distribute.InputContext | None = None, first_step: int = 0) -> tf.data.Dataset:
    """Returns the training batches from a step on or, for evaluation, the numbers of the batches of samples."""
    if params.is_training:
      return self._data.training_batches(params.global_batch_size, self.seed, first_step, input_context)
    return self._evaluation.numbers(input_context)

  def train_step(self, inputs: tuple[tf.Tensor, tf.Tensor], model: AdversarialModel, optimizer: AdversarialOptimizer,
                 metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> dict[str, tf.Tensor]:
    """Takes a step of `AdversarialStep` and updates the averaged generator, in a replica."""
    logs = super().train_step(inputs, model, optimizer, metrics)
    model.update_average(self.settings.ema_decay, self.settings.ema_start, self.global_step)
    return logs

  def loop_logs(self, model: AdversarialModel, optimizer: AdversarialOptimizer) -> dict[str, tf.Tensor]:
    """Returns the discriminator's learning rate and σ(W) of all weights with spectral norm."""
    logs = {'discriminator_learning_rate': optimizer.discriminator.learning_rate}
    for name in ('generator', 'discriminator'):
      for weight, value in singular_values(getattr(model, name)).items():
        logs[f'singular_values/{name}/{weight.removeprefix(name + "/")}'] = value
    return logs

  def begin_evaluation(self, model: AdversarialModel) -> None:
    """Gives the averaged generator its standing statistics until the end of the evaluation."""
    self._during_evaluation.enter_context(self.standing(model.average))

  def standing(self, generator: tf_keras.Model) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which the generator has its statistics for making images."""
    return standing_statistics(generator, self._standing, self.settings.batch_size, self.seed)

  def validation_step(self, inputs: tf.Tensor, model: AdversarialModel,
                      metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> dict[str, tf.Tensor]:
    """Returns features and logits of the batch of samples with the number `inputs`; in a replica."""
    return self._evaluation.measure(model.average, inputs)

  def aggregate_logs(self, state: list[dict[str, np.ndarray]] | None = None,
                     step_outputs: dict[str, tuple[tf.Tensor, ...]] | None = None) -> list[dict[str, np.ndarray]]:
    """Appends the outputs of this host's first replica, which are those of all replicas."""
    return (state or []) + [{name: parts[0].numpy() for name, parts in step_outputs.items()}]

  def reduce_aggregated_logs(self, aggregated_logs: list[dict[str, np.ndarray]],
                             global_step: tf.Variable | None = None) -> dict[str, float]:
    """Returns the scores; writes the protocol and pictures to the default summary writer."""
    scores = self._evaluation.scores(aggregated_logs)
    step = tf.summary.experimental.get_step()
    tf.summary.text('protocol', self._evaluation.description, step)
    pictures.write_to_tensorboard(pictures.Pictures(self._generator, self.seed).grids(), step)
    self._during_evaluation.close()
    return scores
