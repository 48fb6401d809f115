"""Scores of a generator by samples: made and seen by the feature network in the replicas, scored on the host.

Sample i has the z and the label of a function of (seed, i), whatever the number of replicas.
"""

import math

import numpy as np
import tensorflow as tf

from gan.networks import latents
from gan.scores import metrics

_REAL_BATCH = 100  # images at a time


def make_evaluation(protocol, data, batch_size: int, seed: int, strategy, statistics_dir: str):
  """Returns a `SampleEvaluation` of a data object's images.

  Args:
    protocol: a `metrics.Protocol`.
    data: a data object; see `data`.
    batch_size, seed: of the samples.
    strategy: in whose replicas samples will be measured.
    statistics_dir: receives the statistics of the real images, or has them.
  """
  with strategy.scope():
    network = protocol.network()
  real = metrics.real_statistics(protocol, data.real_images(_REAL_BATCH), data.name, statistics_dir, network)
  return SampleEvaluation(protocol, network, real, batch_size, seed, describe(protocol, data))


def describe(protocol, data) -> str:
  """Returns the line that stands with every score."""
  return f'{protocol.describe()}; real images: {data.name}'


class SampleEvaluation:
  """Evaluates a generator by a protocol.

  Args:
    protocol: a `metrics.Protocol`.
    network: its feature network, made in the strategy's scope.
    real: the statistics of real images by the same protocol.
    batch_size: samples made at a time, of all replicas together.
    seed: of z and labels.
    description: names the protocol and the real images, for reports.

  Samples are not truncated.
  """

  def __init__(self, protocol, network, real, batch_size: int, seed: int, description: str):
    self._protocol = protocol
    self._network = network
    self._real = real
    self._batch_size = batch_size
    self._seed = seed
    self.description = description

  def numbers(self, input_context=None) -> tf.data.Dataset:
    """The numbers of the batches, each once for each replica of this host."""
    context = input_context or tf.distribute.InputContext()
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    batches = math.ceil(self._protocol.samples / self._batch_size)
    return tf.data.Dataset.range(batches * replicas).map(lambda i: i // replicas)

  def measure(self, generator, number: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns features `[batch_size, D]` and logits `[batch_size, classes]` of a batch; in a replica."""
    z, labels = latents.draw(latents.seed_of(self._seed, latents.Purpose.EVALUATION, number), self._batch_size,
                             generator.z_size, generator.num_classes)
    images = generator((latents.own_rows(z), latents.own_rows(labels)), training=False)
    features, logits = self._network(images)
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
      features, logits = (context.all_gather(values, axis=0) for values in (features, logits))
    return {'features': features, 'logits': logits}

  def scores(self, outputs: list[dict[str, np.ndarray]]) -> dict[str, float]:
    """Returns the scores by name, of what `measure` returned for all batches in order."""
    features, logits = (np.concatenate([batch[name] for batch in outputs])[:self._protocol.samples]
                        for name in ('features', 'logits'))
    return metrics.scores(self._protocol, self._real, features, logits)
