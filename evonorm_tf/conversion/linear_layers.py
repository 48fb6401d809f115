"""Convolutions and dense layers, and their weights with factors and constants of other layers folded in."""

from typing import Any

import numpy as np

from evonorm_tf.conversion.internals import internals_of

Layer = Any  # a layer of tf_keras or Keras 3
Vector = np.ndarray | float


def is_channels_last(layer: Layer) -> bool:
  """Returns whether a layer has its channels last, or does not care.

  Args:
    layer: any layer.
  """
  return getattr(layer, 'data_format', None) in (None, 'channels_last')


def is_linear_layer(layer: Layer) -> bool:
  """Returns whether a layer is a dense layer or a convolution, channels last, whose weights `folded_weights` knows.

  Args:
    layer: any layer. Subclasses are none, for they can compute something else, and neither are layers with other
      weights than a kernel and a bias, such as those of LoRA, or with a quantized kernel.
  """
  internals = internals_of(layer)
  if type(layer) not in (*internals.DENSE, *internals.DEPTHWISE) or not layer.built or not is_channels_last(layer):
    return False
  return len(layer.weights) == 1 + layer.use_bias and getattr(layer, 'quantization_mode', None) is None


def pads(layer: Layer) -> bool:
  """Returns whether a linear layer reads zeros beside its input, to which a constant would not be added.

  Args:
    layer: a layer for which `is_linear_layer` holds.
  """
  return getattr(layer, 'padding', 'valid') != 'valid' and any(size > 1 for size in layer.kernel_size)


def folded_weights(layer: Layer, scale_in: Vector = 1., shift_in: Vector = 0., scale_out: Vector = 1.,
                   shift_out: Vector = 0.) -> tuple[np.ndarray, np.ndarray]:
  """Returns kernel and bias, float64, of the layer that returns scale_out·layer(scale_in·x + shift_in) + shift_out.

  With W the kernel and b the bias, these are W·scale_in·scale_out and (b + ΣW·shift_in)·scale_out + shift_out, where
  the sum is over the places and input channels that an output reads.

  Args:
    layer: a layer for which `is_linear_layer` holds, without its activation.
    scale_in, shift_in: vectors over input channels. A shift needs a layer that does not pad.
    scale_out, shift_out: vectors over output channels.
  """
  weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
  kernel, bias = weights[0], sum(weights[1:])
  is_depthwise = type(layer) in internals_of(layer).DEPTHWISE
  outputs = kernel.shape[2:] if is_depthwise else kernel.shape[-1:]  # depthwise [height, width, C, multiplier]

  def by_input(vector: Vector) -> np.ndarray:
    """Returns the vector for each input channel that an output channel reads, to multiply the kernel."""
    if is_depthwise:
      return np.broadcast_to(vector, kernel.shape[2])[:, np.newaxis]
    groups = getattr(layer, 'groups', 1)
    rows = np.broadcast_to(vector, groups * kernel.shape[-2]).reshape(groups, -1)
    return np.repeat(rows, kernel.shape[-1] // groups, axis=0).T

  constant = (kernel * by_input(shift_in)).sum(tuple(range(kernel.ndim - 2)))
  constant = constant.ravel() if is_depthwise else constant.sum(0)
  factor = np.broadcast_to(scale_out, np.prod(outputs)).reshape(outputs)
  return kernel * by_input(scale_in) * factor, (bias + constant) * factor.ravel() + shift_out
