"""The GAN task for the TensorFlow Model Garden's trainer: networks, data, training step and evaluation.

The training step is that of `AdversarialStep`. A resumed training run does exactly what an uninterrupted one would have
done: networks, optimizers and the averaged generator are restored, and images, z and labels are functions of (seed,
step). Evaluation uses only the averaged generator.
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
from gan.samples.standing_statistics import StandingStatistics
from gan.training.model import AdversarialModel
from gan.training.optimizer import Adams
from gan.training.optimizer import AdversarialOptimizer
from gan.training.step import AdversarialStep
from gan.training.step import StepSettings


class AdversarialTask(ResumableTask, AdversarialStep):
  """The task of training and evaluating a GAN.

  Args:
    params: Model Garden's configuration of the task; the global batch size of its `train_data` must be
      `settings.images`.
    networks: the settings of both networks.
    norm_act: a factory of the generator's norm-activation layers, as `get_norm_act` returns it.
    data: the data object that supplies the images.
    settings: the settings of a training step.
    adams: the settings of both optimizers.
    seed: the seed of initial weights, order of the images, z and labels, an integer of at least 0.
    jit_compile: whether XLA compiles the training step (default False).
    standing: the number of batches from which standing statistics are computed before an evaluation; 0 (default) for
      the moving averages. See `gan.samples.standing_statistics`.
    standing_batch_size: the number of images of such a batch, over all replicas; None (default) for
      `settings.batch_size`.
    evaluation: the object that makes and scores samples; None (default) if there are no evaluations.
  """

  def __init__(self, params: config_definitions.TaskConfig, networks: BigGAN, norm_act: NormActFactory, data: GanData,
               settings: StepSettings, adams: Adams, seed: int, jit_compile: bool = False, standing: int = 0,
               standing_batch_size: int | None = None, evaluation: SampleEvaluation | None = None):
    super().__init__(params, seed, jit_compile, settings=settings)
    self._networks = networks
    self._norm_act = norm_act
    self._data = data
    self._adams = adams
    self._evaluation = evaluation
    self._standing = standing, standing_batch_size or settings.batch_size
    self._generator: tf_keras.Model | None = None
    self._statistics: StandingStatistics | None = None
    self._pictures: pictures.Pictures | None = None
    self._during_evaluation = contextlib.ExitStack()

  def skipped_records(self) -> int:
    """Returns the number of images that this process has skipped so far because they could not be read."""
    return self._data.skipped_records()

  def build_model(self) -> AdversarialModel:
    """Returns the networks, with initial weights that depend only on the seed.

    This sets the global seeds of Python, NumPy and TensorFlow.
    """
    tf_keras.utils.set_random_seed(self.seed)
    data, labels = self._data, tf.zeros([1], tf.int32)
    generator, average = (
        self._networks.make_generator(self._norm_act, data.image_size, data.num_classes, name)
        for name in ('generator', 'average'))
    discriminator = self._networks.make_discriminator(data.image_size, data.num_classes)
    for network in (generator, average):
      images = network((tf.zeros([1, network.z_size]), labels), training=False)
    discriminator((images, labels), training=False)
    self._statistics = StandingStatistics(average, *self._standing, self.seed)
    self._generator, self._pictures = average, None
    return AdversarialModel(generator, discriminator, average)

  def initialize(self, model: AdversarialModel) -> None:
    """Does nothing, because a GAN's training starts without pretrained weights.

    Args:
      model: ignored.
    """

  def create_optimizer(self, optimizer_config: Any, runtime_config: config_definitions.RuntimeConfig | None = None,
                       dp_config: Any = None) -> AdversarialOptimizer:
    """Returns the optimizers of both networks, with the settings `adams`.

    Args:
      optimizer_config: ignored; Model Garden's configuration of an optimizer.
      runtime_config: Model Garden's configuration of precision and loss scaling; must not be None.
      dp_config: ignored; Model Garden's settings of differential privacy.
    """
    return AdversarialOptimizer(self._adams, runtime_config)

  def create_slots(self, optimizer: AdversarialOptimizer, model: AdversarialModel) -> None:
    """Creates the variables of both optimizers, so that they exist when a checkpoint is restored.

    Args:
      optimizer: the result of `create_optimizer`.
      model: the result of `build_model`.
    """
    optimizer.create_slots(model)

  def build_inputs(self, params: config_definitions.DataConfig,
                   input_context: tf.distribute.InputContext | None = None, first_step: int = 0) -> tf.data.Dataset:
    """Returns the training batches or, for evaluation, the numbers of the batches of samples.

    Args:
      params: Model Garden's configuration of the batches; `is_training` selects the training batches.
      input_context: the `tf.distribute.InputContext` of this host; None (default) for a single replica.
      first_step: the number of the first training step to make a batch for (default 0).

    Returns:
      For training, an infinite dataset of (images, labels), see `GanData.training_batches`; for evaluation, a dataset
      of int64 scalars, see `SampleEvaluation.numbers`.
    """
    if params.is_training:
      return self._data.training_batches(params.global_batch_size, self.seed, first_step, input_context)
    return self._evaluation.numbers(input_context)

  def train_step(self, inputs: tuple[tf.Tensor, tf.Tensor], model: AdversarialModel, optimizer: AdversarialOptimizer,
                 metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> dict[str, tf.Tensor]:
    """Takes one training step and updates the averaged generator; to be called in each replica.

    Args:
      inputs: the replica's real images and labels; see `AdversarialStep.train_step`.
      model: the networks.
      optimizer: the optimizers of both networks.
      metrics: the result of `build_metrics`, which this updates; None (default) for none.

    Returns:
      The losses and mean logits by name, scalars; see `AdversarialStep.train_step`.
    """
    logs = super().train_step(inputs, model, optimizer, metrics)
    model.update_average(self.settings.ema_decay, self.settings.ema_start, self.global_step)
    return logs

  def loop_logs(self, model: AdversarialModel, optimizer: AdversarialOptimizer) -> dict[str, tf.Tensor]:
    """Returns further scalars for TensorBoard.

    Args:
      model: the networks.
      optimizer: the optimizers of both networks.

    Returns:
      `discriminator_learning_rate` and, for each weight W with spectral norm in generator and discriminator, its
      largest singular value σ(W) as `singular_values/NETWORK/WEIGHT`.
    """
    logs = {'discriminator_learning_rate': optimizer.discriminator.learning_rate}
    for name in ('generator', 'discriminator'):
      for weight, value in singular_values(getattr(model, name)).items():
        logs[f'singular_values/{name}/{weight.removeprefix(name + "/")}'] = value
    return logs

  def begin_evaluation(self, model: AdversarialModel) -> None:
    """Sets the averaged generator's standing statistics; `reduce_aggregated_logs` restores its moving averages.

    Args:
      model: ignored, since the task has the averaged generator that it has built.
    """
    self._during_evaluation.enter_context(self.standing())

  def standing(self) -> contextlib.AbstractContextManager[None]:
    """Returns a context manager inside which the averaged generator has standing statistics for its moving averages.

    On exit the moving averages are restored. It has no effect if the task was made with `standing` = 0. Call it after
    `build_model`, and enter it inside `strategy.scope()`; see `gan.samples.standing_statistics`.
    """
    return self._statistics.replaced()

  def validation_step(self, inputs: tf.Tensor, model: AdversarialModel,
                      metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> dict[str, tf.Tensor]:
    """Makes a batch of samples and computes their features and logits; to be called in each replica.

    Args:
      inputs: the number of the batch, an int64 scalar.
      model: the networks, of which the averaged generator is used.
      metrics: ignored.

    Returns:
      `features` and `logits` of the samples of all replicas; see `SampleEvaluation.measure`.
    """
    return self._evaluation.measure(model.average, inputs)

  def aggregate_logs(self, state: list[dict[str, np.ndarray]] | None = None,
                     step_outputs: dict[str, tuple[tf.Tensor, ...]] | None = None) -> list[dict[str, np.ndarray]]:
    """Collects the outputs of all batches of samples on the host.

    Args:
      state: the result of this method for the previous batch; None (default) begins a new list.
      step_outputs: the outputs of `validation_step`, with a tuple over this host's replicas for each name. The first
        replica's outputs suffice, because every replica has the outputs of all.

    Returns:
      The list `state` with the outputs of this batch appended, as NumPy arrays by name.
    """
    return (state or []) + [{name: parts[0].numpy() for name, parts in step_outputs.items()}]

  def reduce_aggregated_logs(self, aggregated_logs: list[dict[str, np.ndarray]],
                             global_step: tf.Variable | None = None) -> dict[str, float]:
    """Ends an evaluation: computes the scores, and writes pictures and the protocol to the default summary writer.

    Args:
      aggregated_logs: the result of `aggregate_logs` for the last batch.
      global_step: ignored.

    Returns:
      The scores by name; see `gan.scores.scores`.
    """
    scores = self._evaluation.scores(aggregated_logs)
    step = tf.summary.experimental.get_step()
    tf.summary.text('protocol', self._evaluation.description, step)
    self._pictures = self._pictures or pictures.Pictures(self._generator, self.seed)  # which traces it once
    pictures.write_to_tensorboard(self._pictures.grids(), step)
    self._during_evaluation.close()
    return scores
