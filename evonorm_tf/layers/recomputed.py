"""Convolutions that do not keep their input: its norm-activation layer computes it again in the backward pass.

Between them, an EvoNorm and the convolution behind it keep two tensors for the backward pass: the layer its input x,
the convolution its own input y. With x and a few statistics at hand, y takes one more elementwise pass, so that the two
keep x alone. In-place activated batch normalization (Rota Bulò et al., 2018, https://arxiv.org/abs/1712.02616) does the
same for batch normalization.
"""

import contextlib
from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.gradients.recomputation import is_offered
from evonorm_tf.gradients.recomputation import recomputed
from evonorm_tf.layers.baseline_body import BaselineBody
from evonorm_tf.layers.evonorm import EvoNorm
from evonorm_tf.layers.norm_act_body import NormActBody

try:
  from tf_keras.src.mixed_precision.autocast_variable import enable_auto_cast_variables
except ImportError:  # it is private; without it there is no recomputation in mixed precision
  enable_auto_cast_variables = contextlib.nullcontext


class _Recomputed:
  """Mixin of convolutions: an input that an EvoNorm has put out is computed again in the backward pass.

  Any other input is kept, as usual, and so is every input in eager execution, under a condition that TensorFlow
  decides, and where XLA compiles the whole step, since it joins equal computations.
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """Returns the convolution of the inputs.

    Args:
      inputs: as for the class without recomputation.
    """
    return _convolved(super().call, inputs, self.compute_dtype)


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class RecomputedConv2D(_Recomputed, tf_keras.layers.Conv2D):
  """`Conv2D` whose input, if an EvoNorm has put it out, is computed again in the backward pass."""


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class RecomputedDepthwiseConv2D(_Recomputed, tf_keras.layers.DepthwiseConv2D):
  """`DepthwiseConv2D` whose input, if an EvoNorm has put it out, is computed again in the backward pass."""


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class RecomputedSeparableConv2D(_Recomputed, tf_keras.layers.SeparableConv2D):
  """`SeparableConv2D` whose input, if an EvoNorm has put it out, is computed again in the backward pass."""


_CLASSES = {c.__mro__[2]: c for c in (RecomputedConv2D, RecomputedDepthwiseConv2D, RecomputedSeparableConv2D)}


def recompute_norm_acts(model: Any) -> Any:
  """Makes a model's convolutions compute the outputs of EvoNorms again instead of keeping them; returns the model.

  Names, weights and outputs stay; gradients stay but for rounding, and cannot be differentiated once more.

  Args:
    model: a tf_keras model or layer that has not been trained yet: its convolutions get other classes.

  Raises:
    ValueError: if the model has no EvoNorm, or has a norm-activation layer of another kind.
  """
  layers = [model, *model.submodules]
  others = {type(layer).__name__ for layer in layers
            if isinstance(layer, NormActBody | BaselineBody) and not isinstance(layer, EvoNorm)}
  if others or not any(isinstance(layer, EvoNorm) for layer in layers):
    raise ArgumentError('`recompute=True` needs EvoNorms, whose outputs can be computed again from their statistics; '
                        f'found {", ".join(sorted(others)) or "none"} in {model.name!r}.')
  for layer in layers:
    if type(layer) in _CLASSES:
      object.__setattr__(layer, '__class__', _CLASSES[type(layer)])
  return model


@tf.autograph.experimental.do_not_convert  # on `call` it would hide from Keras which arguments that takes
def _convolved(convolve, inputs, dtype):
  """Returns convolve(inputs), which computes the inputs again in the backward pass if they are on offer."""
  if not is_offered(inputs) or enable_auto_cast_variables is contextlib.nullcontext and dtype != 'float32':
    return convolve(inputs)

  @tf.custom_gradient
  def with_gradient(y):
    def gradient(dz, variables=()):
      with enable_auto_cast_variables(tf.as_dtype(dtype)):  # as within `Layer.__call__`
        by_y, *by_variables = _gradients(convolve, recomputed(inputs, dz), variables, dz)
      return (by_y, by_variables) if variables else by_y
    return convolve(y), gradient

  return with_gradient(inputs)


def _gradients(convolve, y, variables, dz):
  """Returns the gradients of a convolution with respect to its input y and its variables; they have none themselves."""
  with tf.GradientTape() as tape:
    tape.watch(y)
    z = convolve(y)
  return _without_gradient(*tape.gradient(z, [y, *variables], dz, tf.UnconnectedGradients.ZERO))


@tf.custom_gradient
def _without_gradient(*tensors):
  def gradient(*_):
    raise ArgumentError('A model with `recompute=True` cannot be differentiated twice.')
  return tensors, gradient
