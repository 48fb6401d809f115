"""Evaluation of a generator by samples: replicas make them and compute their features, the host scores them.

z and label of sample i are functions of (seed, i), whatever the number of replicas.
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

_REAL_BATCH = 100  # images at a time


def make_evaluation(protocol: metrics.Protocol, data: GanData, batch_size: int, seed: int,
                    strategy: tf.distribute.Strategy, statistics_dir: str | os.PathLike) -> 'SampleEvaluation':
  """Returns an evaluation against the real images of a data object.

  Args:
    protocol: the settings of the scores.
    data: the real images.
    batch_size: samples made at a time, over all replicas.
    seed: of z and labels.
    strategy: samples will be measured in its replicas.
    statistics_dir: the folder that contains the statistics of the real images or receives them.
  """
  with strategy.scope():
    network = protocol.network()
  real = metrics.real_statistics(protocol, data.real_images(_REAL_BATCH), data.name, statistics_dir, network)
  return SampleEvaluation(protocol, network, real, batch_size, seed, describe(protocol, data))


def describe(protocol: metrics.Protocol, data: GanData) -> str:
  """Returns the line that is reported with every score."""
  return f'{protocol.describe()}; real images: {data.name}'


class SampleEvaluation:
  """Evaluates a generator by a protocol. Samples are not truncated.

  Args:
    protocol: the settings of the scores.
    network: the protocol's feature network, made in the strategy's scope.
    real: the statistics of real images by the same protocol.
    batch_size: samples made at a time, over all replicas.
    seed: of z and labels.
    description: names the protocol and the real images, for reports.
  """

  def __init__(self, protocol: metrics.Protocol, network: FeatureNetwork, real: metrics.RealStatistics, batch_size: int,
               seed: int, description: str):
    self._protocol = protocol
    self._network = network
    self._real = real
    self._batch_size = batch_size
    self._seed = seed
    self.description = description

  def numbers(self, input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
    """Returns the numbers of the batches, each once for each replica of this host."""
    context = input_context or tf.distribute.InputContext()
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    batches = math.ceil(self._protocol.samples / self._batch_size)
    return tf.data.Dataset.range(batches * replicas).map(lambda i: i // replicas)

  def measure(self, generator: tf_keras.Model, number: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns `features`, `[batch_size, D]`, and `logits`, `[batch_size, classes]`, of a batch; in a replica.

    Args:
      generator: a built generator, with `z_size` and `num_classes`.
      number: of the batch, from 0 on.
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
    """Returns the scores by name, given the results of `measure` for all batches in order."""
    features, logits = (np.concatenate([batch[name] for batch in outputs])[:self._protocol.samples]
                        for name in ('features', 'logits'))
    return metrics.scores(self._protocol, self._real, features, logits)
