"""Evaluation of a generator: replicas make samples and compute their features, and the host computes the scores.

z and the labels are functions of (seed, batch size, number of the batch); they do not depend on the number of replicas.
"""

from collections.abc import Sequence
import math
import os

import numpy as np
import tensorflow as tf
import tf_keras

from gan.data import GanData
from gan.networks import latents
from gan.scores import metrics
from gan.scores.feature_networks import FeatureNetwork
from gan.scores.precision_recall import squared_radii

_REAL_BATCH = 100  # the number of real images in a batch


def make_evaluation(protocol: metrics.Protocol, data: GanData, batch_size: int, seed: int,
                    strategy: tf.distribute.Strategy, statistics_dir: str | os.PathLike) -> 'SampleEvaluation':
  """Returns an evaluation against the real images of a data object, after computing their statistics if necessary.

  Args:
    protocol: the settings of the scores.
    data: the data object that supplies the real images.
    batch_size: the number of samples made at a time, over all replicas.
    seed: the seed of z and labels.
    strategy: the tf.distribute strategy in whose replicas samples will be made.
    statistics_dir: the path of the folder that contains the statistics of the real images or receives them.

  Raises:
    ArgumentError: if the feature network's weights cannot be obtained, or the real images do not suit the protocol; see
      `real_statistics`.
    MissingDependencyError: if the package with the feature network's weights is not installed.
  """
  with strategy.scope():
    network = protocol.network()
  real = metrics.real_statistics(protocol, data.real_images(_REAL_BATCH), data.name, statistics_dir, network)
  return SampleEvaluation(protocol, network, real, batch_size, seed, describe(protocol, data))


def describe(protocol: metrics.Protocol, data: GanData) -> str:
  """Returns the line that is reported with every score; it names all settings and the real images.

  Args:
    protocol: the settings of the scores.
    data: the data object that supplies the real images.
  """
  return f'{protocol.describe()}; real images: {data.name}'


class SampleEvaluation:
  """An evaluation of generators by the scores of a protocol. z is not truncated.

  Args:
    protocol: the settings of the scores.
    network: the protocol's feature network, made in the scope of the strategy in whose replicas samples are made.
    real: the statistics of the real images, made with the same protocol.
    batch_size: the number of samples made at a time, over all replicas; a multiple of their number.
    seed: the seed of z and labels.
    description: a line that names the protocol and the real images, for reports.

  Attributes:
    description: the argument `description`.
  """

  def __init__(self, protocol: metrics.Protocol, network: FeatureNetwork, real: metrics.RealStatistics, batch_size: int,
               seed: int, description: str):
    self._protocol = protocol
    self._network = network
    self._real = real
    self._batch_size = batch_size
    self._seed = seed
    self._real_radii: np.ndarray | None = None
    self.description = description

  def numbers(self, input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns a dataset of batch numbers, one for each call of `measure`.

    Args:
      input_context: the `tf.distribute.InputContext` of this host; None (default) for a single replica.

    Returns:
      tf.data.Dataset of int64 scalars: 0, 1, ... in order, each as many times in a row as this host has replicas. The
      batches together contain at least `protocol.samples` samples.
    """
    context = input_context or tf.distribute.InputContext()
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    batches = math.ceil(self._protocol.samples / self._batch_size)
    return tf.data.Dataset.range(batches * replicas).map(lambda i: i // replicas)

  def measure(self, generator: tf_keras.Model, number: tf.Tensor) -> dict[str, tf.Tensor]:
    """Makes a batch of samples and computes their features and logits; to be called in each replica.

    Each replica makes its share of the samples; the results of all replicas are gathered.

    Args:
      generator: a built generator, with the attributes `z_size` and `num_classes`.
      number: the number of the batch, an integer scalar from 0.

    Returns:
      `features`, float32 `[batch_size, D]`, and `logits`, float32 `[batch_size, classes]`, of the samples of all
      replicas.
    """
    z, labels = latents.draw(latents.seed_of(self._seed, latents.Purpose.EVALUATION, number), self._batch_size,
                             generator.z_size, generator.num_classes)
    images = generator((latents.own_rows(z), latents.own_rows(labels)), training=False)
    features, logits = self._network(images)
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
      features, logits = (context.all_gather(values, axis=0) for values in (features, logits))
    return {'features': features, 'logits': logits}

  def scores(self, outputs: Sequence[dict[str, np.ndarray]]) -> dict[str, float]:
    """Computes the scores.

    Args:
      outputs: the results of `measure` for all batches, in order. Samples beyond `protocol.samples` are left out.

    Returns:
      The scores by name; see `metrics.scores`.

    Raises:
      ArgumentError: if a feature or logit is not finite.
    """
    features, logits = (np.concatenate([batch[name] for batch in outputs])[:self._protocol.samples]
                        for name in ('features', 'logits'))
    if self._real_radii is None:
      self._real_radii = squared_radii(self._real.features, self._protocol.neighbours)
    return metrics.scores(self._protocol, self._real, features, logits, self._real_radii)
