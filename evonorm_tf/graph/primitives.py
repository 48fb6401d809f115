"""The primitives of layer graphs: their names, arities and NumPy forms (the paper's table of primitives).

Their TensorFlow forms are in `evonorm_tf.equations.elementwise` and `evonorm_tf.equations.moments`. Users add
primitives and index sets by `evonorm_tf.graph.registration`.

All tensors of a graph broadcast against x of shape [N, ..., C], so a node may keep an axis at size 1: v0 and v1 are
[1, ..., 1, C], the zero tensor [1, ..., 1], an instance moment [N, 1, ..., 1, C].

One guard rule, the magnitude clamp, keeps values and gradients finite: where a primitive divides by a tensor t, or
takes its logarithm or root, max(|t|, EPSILON) replaces |t|, and the sign is kept. The two second moments add `epsilon`
inside the root instead, as the EvoNorm layers do.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

import numpy as np

EPSILON = 1e-5

# The index sets over which moments average: b = batch, w,h = all spatial axes, c = channels, c/g = channels of a group.
BATCH, LAYER, INSTANCE, GROUP = 'b,w,h', 'w,h,c', 'w,h', 'w,h,c/g'
INDEX_SETS = (BATCH, LAYER, INSTANCE, GROUP)


@dataclasses.dataclass(frozen=True)
class Primitive:
  """A primitive operation on tensors; `registration.RegisteredPrimitive` is one that a user has added.

  Attributes:
    name: its name in layer graphs.
    arity: the number of its tensor arguments.
    numpy_form: a function of `arity` arrays. A moment also takes the index set and the number of groups. A guarded
      primitive also takes `epsilon` by name (default `EPSILON`), to show the effect of another guard than the layers'.
    is_moment: whether it averages over an index set (default False).
    is_guarded: whether the magnitude clamp, or ε inside the root, guards it (default False).
  """
  name: str
  arity: int
  numpy_form: Callable[..., np.ndarray]
  is_moment: bool = False
  is_guarded: bool = False


@dataclasses.dataclass(frozen=True)
class IndexSet:
  """An index set that a user has added.

  Attributes:
    name: its name in layer graphs and equations.
    numpy_average: a function of x, [N, ..., C], and the number of channel groups that returns the mean of x over the
      index set; it broadcasts against x and does not mix samples.
    tensorflow_average: the same for tensors of TensorFlow.
    keras_average: the same by `keras.ops`, for Keras 3 on JAX or PyTorch; None if there is none.
    over_channels: whether the channels are in the index set, so that the mean is one number for all of them.
    code: the code of the mean in generated files, with {} in the place of x, by the name of the Keras package.
  """
  name: str
  numpy_average: Callable[[np.ndarray, int], np.ndarray]
  tensorflow_average: Callable[..., Any]
  keras_average: Callable[..., Any] | None
  over_channels: bool
  code: Mapping[str, str]


REGISTERED_INDEX_SETS: dict[str, IndexSet] = {}  # by name, in the order of registration


def index_sets() -> tuple[str, ...]:
  """Returns the names of all index sets, those that users have added at the end."""
  return INDEX_SETS + tuple(REGISTERED_INDEX_SETS)


def is_over_channels(axes: str) -> bool:
  """Returns whether the mean over an index set is one number for all channels.

  Args:
    axes: the index set, one of `index_sets`; '' for none gives False.
  """
  added = REGISTERED_INDEX_SETS.get(axes)
  return axes == LAYER if added is None else added.over_channels


def largest_divisor(channels: int, groups: int) -> int:
  """Returns the largest number up to `groups` that divides `channels`; layers use it as the number of channel groups.

  Args:
    channels: the number of channels, C.
    groups: the number of channel groups asked for, at least 1.
  """
  return next(g for g in range(min(groups, channels), 0, -1) if channels % g == 0)


def clamp_magnitude(x: np.ndarray, epsilon: float = EPSILON) -> np.ndarray:
  """Returns sign(x)·max(|x|, epsilon), elementwise, where zero counts as positive.

  Args:
    x: an array.
    epsilon: the least magnitude (default `EPSILON`).
  """
  return np.copysign(np.maximum(np.abs(x), epsilon), x + 0.)  # + 0. turns -0. into 0.


def average(x: np.ndarray, axes: str, groups: int) -> np.ndarray:
  """Returns μ(x), the mean of x over an index set.

  Args:
    x: an array [N, ..., C].
    axes: the index set, one of `index_sets`.
    groups: the number of channel groups, used with `GROUP`. If it does not divide C, the largest smaller number that
      does is used.

  Returns:
    An array that broadcasts against x. Every averaged axis has size 1, except that the channel axis has size C with
    `GROUP`, where each channel holds its group's value.
  """
  if axes in REGISTERED_INDEX_SETS:
    return REGISTERED_INDEX_SETS[axes].numpy_average(x, groups)
  spatial = tuple(range(1, x.ndim - 1))
  if axes == BATCH:
    return x.mean((0,) + spatial, keepdims=True)
  if axes == INSTANCE:
    return x.mean(spatial, keepdims=True)
  if axes == LAYER:
    return x.mean(spatial + (x.ndim - 1,), keepdims=True)
  mean = x.mean(spatial, keepdims=True)
  channels = x.shape[-1]
  size = channels // largest_divisor(channels, groups)
  grouped = mean.reshape(mean.shape[:-1] + (-1, size)).mean(-1)
  return np.repeat(grouped, size, -1)


def second_moment(x: np.ndarray, axes: str, groups: int, epsilon: float = EPSILON) -> np.ndarray:
  """Returns √(μ(x²) + epsilon), with the mean over an index set.

  Args:
    x: an array [N, ..., C].
    axes: the index set, one of `index_sets`.
    groups: the number of channel groups, used with `GROUP`. If it does not divide C, the largest smaller number that
      does is used.
    epsilon: the constant added inside the root (default `EPSILON`).

  Returns:
    An array that broadcasts against x. Every averaged axis has size 1, except that the channel axis has size C with
    `GROUP`, where each channel holds its group's value.
  """
  return np.sqrt(average(np.square(x), axes, groups) + epsilon)


def centered_second_moment(x: np.ndarray, axes: str, groups: int, epsilon: float = EPSILON) -> np.ndarray:
  """Returns √(s²(x) + epsilon), with the biased variance over an index set.

  Args:
    x: an array [N, ..., C].
    axes: the index set, one of `index_sets`.
    groups: the number of channel groups, used with `GROUP`. If it does not divide C, the largest smaller number that
      does is used.
    epsilon: the constant added inside the root (default `EPSILON`).

  Returns:
    An array that broadcasts against x. Every averaged axis has size 1, except that the channel axis has size C with
    `GROUP`, where each channel holds its group's value.
  """
  return second_moment(x - average(x, axes, groups), axes, groups, epsilon)


def _signed(function: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
  """Returns the function x ↦ sign(x)·function(max(|x|, epsilon))."""
  return lambda x, epsilon=EPSILON: np.sign(x) * function(np.maximum(np.abs(x), epsilon))


def sigmoid(x: np.ndarray) -> np.ndarray:
  """Returns σ(x), elementwise, without overflow.

  Args:
    x: an array.
  """
  return 0.5 * (1. + np.tanh(0.5 * x))


_MOMENTS = (
    Primitive('first_moment', 1, average, is_moment=True),
    Primitive('second_moment', 1, second_moment, is_moment=True, is_guarded=True),
    Primitive('centered_second_moment', 1, centered_second_moment, is_moment=True, is_guarded=True),
)

# All primitives by name, those that users have added at the end. Their order determines which random graphs a seed
# gives.
PRIMITIVES = {p.name: p for p in (
    Primitive('add', 2, np.add),
    Primitive('mul', 2, np.multiply),
    Primitive('div', 2, lambda x, y, epsilon=EPSILON: x / clamp_magnitude(y, epsilon), is_guarded=True),
    Primitive('max', 2, np.maximum),
    Primitive('neg', 1, np.negative),
    Primitive('sigmoid', 1, sigmoid),
    Primitive('tanh', 1, np.tanh),
    Primitive('exp', 1, np.exp),
    Primitive('abs', 1, np.abs),
    Primitive('square', 1, np.square),
    Primitive('log', 1, _signed(np.log), is_guarded=True),
    Primitive('sqrt', 1, _signed(np.sqrt), is_guarded=True),
    *_MOMENTS,
)}
BUILT_IN = tuple(PRIMITIVES)  # the names of the paper's
