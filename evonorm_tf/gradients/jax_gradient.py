"""The gradient of EvoNorms and layer graphs that keeps little (`equations.passes`), for JAX."""

from collections.abc import Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp

from evonorm_tf.equations import moments
from evonorm_tf.equations import passes


def evaluate(equation: passes.Equation, x: jax.Array, weights: Sequence[jax.Array],
             given_moment: jax.Array | None = None, jit_compile: bool = False) -> tuple[jax.Array, jax.Array]:
  """Evaluates an equation, with a custom gradient with respect to x and the weights.

  Args:
    equation, x, weights, given_moment: as for `passes.evaluate`.
    jit_compile: not used: `jax.jit` compiles whole steps.

  Returns:
    The pair (y, moment), as from `passes.evaluate`.
  """
  del jit_compile
  y, moment = _evaluate(equation, moments.flatten_positions(x), given_moment, tuple(weights))
  return jnp.reshape(y, x.shape), jax.lax.stop_gradient(moment)


def is_compiled_by_default() -> bool:
  """Returns False."""
  return False


def is_needless(training: Any) -> bool:
  """Returns False."""
  return False


def _slices(x: jax.Array, on_cpu: int) -> int:
  """Returns into how many slices sums over positions are cut, given how many on a CPU; see `moments.position_sums`.

  Where the number of positions is a symbol, as in an export for images of any size, they are not cut.
  """
  return on_cpu if jax.default_backend() == 'cpu' and isinstance(x.shape[1], int) else 1


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _evaluate(equation, x, given_moment, weights):
  y, moment, *_ = passes.forward(equation, _slices(x, moments.FORWARD_SLICES), x, given_moment, *weights)
  return y, moment


def _forward(equation, x, given_moment, weights):
  y, moment, *statistics = passes.forward(equation, _slices(x, moments.FORWARD_SLICES), x, given_moment, *weights)
  return (y, moment), (x, statistics, given_moment, weights)


def _backward(equation, kept, gradients):
  x, statistics, given_moment, weights = kept
  dx, by_weights = passes.backward(
      equation, _slices(x, moments.BACKWARD_SLICES), given_moment is not None, x, gradients[0], statistics, *weights)
  return dx, jax.tree.map(jnp.zeros_like, given_moment), tuple(by_weights)[:len(weights)]


_evaluate.defvjp(_forward, _backward)
