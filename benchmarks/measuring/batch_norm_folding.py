"""Folding of batch normalizations into the convolutions before them, as exporters do it for inference.

In inference BN(W∗x) = γ/√(s² + ε) · (W∗x − μ) + β, with the moving averages μ and s², is itself a convolution: its
kernel is W · γ/√(s² + ε), a factor for each output channel, and its bias β − μ · γ/√(s² + ε). That is exact at the
borders, too, for what is padded is the convolution's input. Where something else than one convolution precedes, such as
an addition, the batch normalization stays.
"""

from typing import NamedTuple

import numpy as np
import tf_keras

from evonorm_tf.layers.baselines import BatchNormAct


class Folding(NamedTuple):
  """A model with folded batch normalizations.

  Attributes:
    model: the model, with weights of its own.
    folded: the number of batch normalizations that were folded.
    total: the number of batch normalizations that there were.
  """
  model: tf_keras.Model
  folded: int
  total: int


def fold(model: tf_keras.Model) -> Folding:
  """Returns a copy of a model in which every batch normalization that reads one convolution alone is folded into it.

  Args:
    model: a functional model; its batch normalizations are the layers of `bn_relu` or `bn_silu`, with γ and β.
  """
  norms = [layer for layer in model.layers if isinstance(layer, BatchNormAct)]
  norm_after = {convolution.name: norm for norm in norms if (convolution := _convolution_before(norm))}
  folded = {norm.name for norm in norm_after.values()}

  def copy(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    if layer.name in folded:
      return tf_keras.layers.Activation(layer.activation if layer.nonlinearity else 'linear', name=layer.name)
    with_bias = {'use_bias': True} if layer.name in norm_after else {}
    return type(layer).from_config({**layer.get_config(), **with_bias})

  result = tf_keras.models.clone_model(model, clone_function=copy)
  for old in model.layers:
    if old.name in norm_after:
      result.get_layer(old.name).set_weights(_folded_weights(old, norm_after[old.name]))
    elif old.name not in folded:
      result.get_layer(old.name).set_weights(old.get_weights())
  return Folding(result, len(folded), len(norms))


def _convolution_before(norm: BatchNormAct) -> tf_keras.layers.Layer | None:
  """Returns the convolution whose output the layer reads, if nothing else reads it and it does not activate."""
  source = norm.inbound_nodes[0].inbound_layers
  if not isinstance(source, (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D)):
    return None
  is_linear = source.activation is tf_keras.activations.linear
  return source if is_linear and len(source.outbound_nodes) == 1 else None


def _folded_weights(convolution: tf_keras.layers.Layer, norm: BatchNormAct) -> list[np.ndarray]:
  """Returns the kernel and the bias of the convolution that does what both layers do."""
  kernel, *bias = convolution.get_weights()
  gamma, beta, mean, variance = norm.norm.get_weights()
  factor = gamma / np.sqrt(variance + norm.epsilon)
  # A depthwise convolution's kernel is [height, width, C, multiplier], and its output channels are C · multiplier.
  is_depthwise = isinstance(convolution, tf_keras.layers.DepthwiseConv2D)
  by_channel = factor.reshape(kernel.shape[2:]) if is_depthwise else factor
  return [kernel * by_channel, beta + (sum(bias) - mean) * factor]
