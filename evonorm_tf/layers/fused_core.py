"""The part that layers share whose equation has a gradient of its own, which keeps little and can be compiled."""

from typing import Any

from evonorm_tf.engines.dispatch import ops_of
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.equations import passes
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act_body import Mask
from evonorm_tf.layers.norm_act_body import MovingAverages
from evonorm_tf.layers.norm_act_body import NormActBody
from evonorm_tf.layers.norm_act_body import Training


class FusedCore(NormActBody):
  """Base class of layers with an equation of `equations.passes`, without a Keras layer class; a subclass defines it as
  `_equation`.

  Args:
    jit_compile: whether XLA compiles the layer's computation, forward and backward, even if the model is not compiled;
      on TensorFlow only. None (default) compiles where that was measured to be faster (benchmarks/layers.py): in
      training on a CPU, with a single replica. Compiling takes some tenths of a second for every new input shape; in a
      traced step of known sizes, other threads do it ahead.
      Nothing is compiled with a mask, or while a debugger of TensorFlow watches all operations
      (`tf.debugging.enable_check_numerics`).
  """

  _equation: passes.Equation

  def __init__(self, jit_compile: bool | None = None, **kwargs):
    super().__init__(**kwargs)
    self.jit_compile = jit_compile

  def _evaluate(self, inputs: Tensor, training: Training, mask: Mask, given_moment: Tensor | None = None
                ) -> tuple[Tensor, Tensor]:
    """Returns y and the equation's moment; `given_moment`, of the moment's shape, replaces the inputs' moment."""
    ops, channels = ops_of(inputs), [inputs.shape[-1]]
    weights = [ops.ones(channels, self._weight_dtype) if self.gamma is None else ops.convert_to_tensor(self.gamma),
               ops.zeros(channels, self._weight_dtype) if self.beta is None else ops.convert_to_tensor(self.beta),
               *map(ops.convert_to_tensor, self._own_weights())]
    if self._gradient is None or mask is not None:
      return passes.evaluate(self._equation, inputs, weights, given_moment, mask)
    if not self.jit_compile and self._gradient.is_needless(training):
      return passes.evaluate(self._equation, inputs, weights, given_moment)
    return self._gradient.evaluate(self._equation, inputs, weights, given_moment, self._compiles(training))

  def _own_weights(self) -> list[Any]:
    """Returns the equation's weights beside γ and β."""
    return []

  def _compiles(self, training: Training) -> bool:
    if self.jit_compile is not None:
      return self.jit_compile
    return training is True and self._gradient.is_compiled_by_default()

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), 'jit_compile': self.jit_compile}


class FusedBatchCore(MovingAverages, FusedCore):
  """Base class of such layers that keep moving averages of batch moments.

  Raises:
    ValueError: if both `jit_compile=True` and `synchronized=True`; compiled code cannot exchange statistics between
      replicas.
  """

  def __init__(self, momentum: float = 0.9, synchronized: bool = False, **kwargs):
    super().__init__(momentum, synchronized, **kwargs)
    if synchronized and self.jit_compile:
      raise ArgumentError('`jit_compile=True` is not available with `synchronized=True`.')

  def _compiles(self, training: Training) -> bool:
    return super()._compiles(training) and not self.synchronized
