"""JAX: every contender is compiled by `jax.jit`; see the package for the functions.

The modes are 'own gradient', `custom_vjp` of this package; 'autodiff', JAX's own gradient of the same equation; and
'jit', a layer or formula that has but one form. What is kept is what `jax.vjp` returns under `jit`.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.engines.keras_layers import BASELINES
from benchmarks.engines.keras_layers import BOTH_GRADIENTS
from benchmarks.engines.keras_layers import EPSILON
from benchmarks.engines.keras_layers import EVONORMS
from benchmarks.engines.keras_layers import GROUPS
from benchmarks.engines.keras_layers import make_layer


@dataclasses.dataclass(frozen=True)
class Contender:
  """A function of weights and x that returns y and the new moving averages, and its weights."""
  function: Callable[[Any, jax.Array], tuple[jax.Array, Any]]
  weights: list[jax.Array]


def contenders(channels: int, dtype: str) -> dict[tuple[str, str], Contender]:
  """Returns the contenders by layer and mode."""
  found = {(name, 'jit'): _of_layer(make_layer(name, channels, dtype)) for name in BASELINES}
  for name in EVONORMS:
    found[name, 'own gradient'] = _of_layer(make_layer(name, channels, dtype))
    if name in BOTH_GRADIENTS:
      found[name, 'autodiff'] = _of_layer(make_layer(name, channels, dtype, own_gradient=False))
  ones = [jnp.ones(channels)] * 4
  found['plain B0', 'jit'] = Contender(_plain_b0, ones)
  found['plain S0', 'jit'] = Contender(_plain_s0, ones[:3])
  return found


def inputs(shape: tuple[int, ...], dtype: str, count: int) -> tuple[jax.Array, ...]:
  """Returns arrays of random numbers."""
  keys = jax.random.split(jax.random.key(0), count)
  return tuple(jax.random.normal(key, shape).astype(dtype) for key in keys)


def forward(contender: Contender) -> Callable:
  """Returns the function that computes y and waits for it."""
  compiled = jax.jit(lambda weights, x: contender.function(weights, x))
  return lambda x, dy: jax.block_until_ready(compiled(contender.weights, x))


def forward_backward(contender: Contender) -> Callable:
  """Returns the function that computes y and all gradients and waits for them."""
  @jax.jit
  def step(weights, x, dy):
    y, gradients_of, averages = jax.vjp(contender.function, weights, x, has_aux=True)
    return y, averages, gradients_of(dy)
  return lambda x, dy: jax.block_until_ready(step(contender.weights, x, dy))


def kept_bytes(contender: Contender, x: jax.Array, dy: jax.Array) -> int:
  """Returns the bytes of what the compiled forward pass hands to the backward pass."""
  del dy
  _, gradients_of, _ = jax.jit(
      lambda weights, x: jax.vjp(contender.function, weights, x, has_aux=True))(contender.weights, x)
  return sum(leaf.nbytes for leaf in jax.tree.leaves(gradients_of) if hasattr(leaf, 'nbytes'))


def copy() -> Callable:
  """Returns a function that reads x and writes as much."""
  compiled = jax.jit(lambda x: x + 1.)
  return lambda x: jax.block_until_ready(compiled(x))


def device_name() -> str:
  """Returns the device, in words."""
  return jax.devices()[0].device_kind


def on_gpu() -> bool:
  """Returns whether computations run on a GPU."""
  return jax.devices()[0].platform == 'gpu'


def version() -> str:
  """Returns the engine's version."""
  return jax.__version__


def _of_layer(layer: Any) -> Contender:
  others = [variable.value for variable in layer.non_trainable_variables]

  def function(weights, x):
    return layer.stateless_call(weights, others, x, training=True)

  return Contender(function, [variable.value for variable in layer.trainable_variables])


def _plain_b0(weights: list[jax.Array], x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """EvoNorm-B0 by its formula."""
  gamma, beta, v1, moving = weights
  wide = x.astype(jnp.float32)
  batch, instance = jnp.var(wide, (0, 1, 2)), jnp.var(wide, (1, 2), keepdims=True)
  y = wide / jnp.maximum(jnp.sqrt(batch + EPSILON), v1 * wide + jnp.sqrt(instance + EPSILON)) * gamma + beta
  return y.astype(x.dtype), .9 * moving + .1 * batch


def _plain_s0(weights: list[jax.Array], x: jax.Array) -> tuple[jax.Array, None]:
  """EvoNorm-S0 by its formula."""
  gamma, beta, v1 = weights
  wide = x.astype(jnp.float32)
  grouped = wide.reshape(*x.shape[:3], GROUPS, -1)
  deviation = jnp.sqrt(jnp.var(grouped, (1, 2, 4), keepdims=True) + EPSILON)
  y = wide * jax.nn.sigmoid(v1 * wide) / jnp.broadcast_to(deviation, grouped.shape).reshape(x.shape) * gamma + beta
  return y.astype(x.dtype), None
