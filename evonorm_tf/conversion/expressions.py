"""Recognition of activations that a model spells out in arithmetic, such as the hard swish x·ReLU6(x + 3)/6.

Such expressions occur in keras.applications. They are recognized by their values: an elementwise function of one tensor
is an activation if it equals one on a grid of numbers. The order and the choice of operations therefore do not matter.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.internals import internals_of
from evonorm_tf.engines.dispatch import ops_of

# The activations that are recognized, all products of x and a gate. Models use a layer or an op for the others.
_FUNCTIONS = {
    'hard_swish': lambda x: x * np.clip(x + 3, 0, 6) / 6,
    'silu': lambda x: x / (1 + np.exp(-x)),
    'mish': lambda x: x * np.tanh(np.log1p(np.exp(x))),
}
_ELEMENTWISE_OPS = frozenset((
    'add', 'subtract', 'multiply', 'truediv', 'negative', 'divide', 'minimum', 'maximum', 'clip_by_value', 'exp',
    'log', 'log1p', 'reciprocal', 'square', 'pow'))
_GRID = np.linspace(-6, 6, 49)


def find_expressions(tensor: Any, nodes: Sequence[Any], readers: Mapping[int, Sequence[Any]]
                     ) -> list[tuple[str, list[Any]]]:
  """Returns the activations of a tensor that the graph spells out in two or more nodes.

  A node is the call of a layer or an op in the model's graph.

  Args:
    tensor: a symbolic tensor of the graph.
    nodes: the graph's nodes, in the order of execution.
    readers: maps a tensor's id to the nodes that take the tensor as input; None among them stands for the graph's
      output.

  Returns:
    Pairs (name of the activation function, its nodes in order). No node is in two pairs.
  """
  ancestors: dict[int, list] = {id(tensor): []}  # the nodes from `tensor` to each tensor computed from it alone
  expressions, used = [], set()
  for node in nodes:
    inputs = [id(value) for value in node.keras_inputs]
    if not inputs or not all(value in ancestors for value in inputs) or not _is_elementwise(node.layer):
      continue
    cone = [*dict.fromkeys(part for value in inputs for part in ancestors[value]), node]
    ancestors[id(node.outputs)] = cone
    if used.isdisjoint(map(id, cone)) and len(cone) > 1 and _is_closed(cone, readers):
      name = _recognize(cone, tensor)
      if name:
        expressions.append((name, cone))
        used.update(map(id, cone))
  return expressions


def _is_elementwise(layer: Any) -> bool:
  """Returns whether a layer without weights computes an elementwise function that this module knows."""
  if getattr(layer, 'weights', ()):
    return False
  internals = internals_of(layer)
  op = internals.op_name(layer)
  is_activation = function_name(layer) not in (None, 'softmax', 'log_softmax')
  return op in _ELEMENTWISE_OPS or is_activation or isinstance(layer, internals.ELEMENTWISE_LAYERS)


def _is_closed(cone: Sequence[Any], readers: Mapping[int, Sequence[Any]]) -> bool:
  """Returns whether the outputs of all nodes but the last go only into nodes of the expression."""
  inside = set(map(id, cone))
  return all(id(reader) in inside for node in cone[:-1] for reader in readers.get(id(node.outputs), ()))


def _recognize(cone: Sequence[Any], tensor: Any) -> str | None:
  """Returns the name of the function in `_FUNCTIONS` that the nodes compute from the tensor, or None."""
  internals, rank = internals_of(tensor), len(tensor.shape)
  shape = [len(_GRID)] + [1] * (rank - 2) + [tensor.shape[-1]]
  x = np.broadcast_to(_GRID.reshape([-1] + [1] * (rank - 1)), shape)
  values = {id(tensor): internals.constant(x, tensor.dtype)}
  for node in cone:
    args, kwargs = internals.map_structure(
        lambda value: values.get(id(value), value), (node.call_args, node.call_kwargs))
    values[id(node.outputs)] = node.layer(*args, **kwargs)
  y = values[id(cone[-1].outputs)]
  if tuple(y.shape) != x.shape:  # a constant that varies over space
    return None
  ops = ops_of(y)
  # Each operation rounds; the functions differ by .14 and more.
  tolerance = .05 if ops.dtype_name(y).endswith('float16') else 1e-5
  y = np.asarray(ops.convert_to_numpy(ops.cast(y, 'float32')), np.float64)
  errors = {name: np.abs(function(x) - y).max() for name, function in _FUNCTIONS.items()}
  name = min(errors, key=errors.get)
  return name if errors[name] < tolerance else None
