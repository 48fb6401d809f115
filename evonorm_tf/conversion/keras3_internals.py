"""What the converter needs of Keras 3: its classes, the layers in a layer, a model's graph, and a layer's identity.

It has the names of `keras_internals`, which describes them, for tf_keras. In Keras 3 a node of a graph is a call of an
operation: of a layer, or of a function of `keras.ops`, which has no weights and serves any number of models.
"""
# ruff: noqa: SLF001  this is the module that may read Keras 3's private attributes

from collections.abc import Iterator
import copy
import dataclasses
import re
from typing import Any

import keras
from keras.tree import flatten as flatten
from keras.tree import map_structure as map_structure

Layer, Model, Variable = keras.layers.Layer, keras.Model, keras.Variable
BATCH_NORMALIZATIONS: tuple[type, ...] = (keras.layers.BatchNormalization,)
NORMALIZATIONS = (*BATCH_NORMALIZATIONS, keras.layers.LayerNormalization, keras.layers.GroupNormalization,
                  keras.layers.UnitNormalization, keras.layers.RMSNormalization)
Activation, ReLU = keras.layers.Activation, keras.layers.ReLU
ACTIVATIONS = {
    keras.layers.ReLU: 'relu',
    keras.layers.LeakyReLU: 'leaky_relu',
    keras.layers.PReLU: 'prelu',
    keras.layers.ELU: 'elu',
    keras.layers.Softmax: 'softmax',
}
ELEMENTWISE_LAYERS = (keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply, keras.layers.Rescaling)
# Layers that `folding` knows: those that sum over channels, those with a kernel for each channel, those without weights
# through which a factor and a term for each channel pass, and those through which a factor passes.
DENSE = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
DEPTHWISE = (keras.layers.DepthwiseConv2D,)
UNWEIGHTED = (keras.layers.GlobalAveragePooling1D, keras.layers.GlobalAveragePooling2D,
              keras.layers.GlobalAveragePooling3D, keras.layers.Dropout, keras.layers.SpatialDropout1D,
              keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D)
ZERO_PADDING = (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D, keras.layers.ZeroPadding3D)
linear = keras.activations.linear
_BOOKKEEPING = frozenset(vars(Layer()))  # attributes in which Keras itself keeps what a layer has
_OPERATIONS = {'true_divide': 'truediv', 'clip': 'clip_by_value', 'power': 'pow', 'hard_silu': 'hard_swish',
               're_lu': 'relu'}  # the class `ReLU` of `keras.activations.relu`; that of `keras.ops.relu` is `Relu`


@dataclasses.dataclass(frozen=True, eq=False)
class GraphNode:
  """A node of a graph, with the attributes that tf_keras's nodes have.

  Attributes:
    layer: the layer or operation that is called.
    outputs: the symbolic output; a list if there are several.
    keras_inputs: the symbolic tensors among the arguments.
    call_args, call_kwargs: the arguments.
    is_input: whether the node stands for an input of the graph.
  """
  layer: Any
  outputs: Any
  keras_inputs: list[Any]
  call_args: tuple[Any, ...]
  call_kwargs: dict[str, Any]
  is_input: bool


def constant(value: Any, dtype: str) -> Any:
  """Returns a tensor of the backend with this value."""
  return keras.ops.convert_to_tensor(value, dtype)


def values_of(variable: Any) -> Any:
  """Returns the values in NumPy: JAX would share the array, and gives its memory away when a model is trained."""
  return keras.ops.convert_to_numpy(variable)


def op_name(layer: Any) -> str | None:
  """Returns the name of an operation that is no layer, such as 'relu' for `Relu`, as tf_keras's op has it."""
  if isinstance(layer, keras.layers.Layer):
    return None
  name = re.sub('(?<=[a-z])(?=[A-Z])', '_', type(layer).__name__).lower()
  name = _OPERATIONS.get(name, name)
  return 'relu6' if name == 'relu' and getattr(layer, 'max_value', None) == 6 else name


def op_options(layer: Any) -> dict[str, Any]:
  """Returns the options by which two layers or operations of one activation may differ, such as a slope."""
  return getattr(layer.activation, 'keywords', {}) if isinstance(layer, Activation) else layer.get_config()


def direct_parts(layer: Any) -> list[Any]:
  """Returns the layers that a layer holds directly; of a graph, its operations as well."""
  if is_graph(layer):
    return list(_functional(layer).operations)
  return list(layer._flatten_layers(recursive=False, include_self=False)) if isinstance(layer, Layer) else []


def iterate_parts(layer: Any) -> Iterator[Any]:
  """Yields a layer and all layers in it, each before the layers that it holds."""
  yield layer
  for part in direct_parts(layer):
    yield from iterate_parts(part)


def list_parts_in_attribute(layer: Any) -> None:
  """Does nothing: Keras 3 saves lists of lists."""


def children(part: Any) -> dict[str, Any] | None:
  """Returns the parts of a layer or container by attribute name or position; of a variable none, of anything else None.
  """
  if isinstance(part, Layer):
    attributes = {**vars(part), **vars(part).get('_modules', {})}  # PyTorch keeps layers there
    return {name: value for name, value in attributes.items() if name not in _BOOKKEEPING}
  if isinstance(part, (list, tuple)):
    return {str(position): value for position, value in enumerate(part)}
  if isinstance(part, dict):
    return {str(key): value for key, value in part.items()}
  return {} if isinstance(part, Variable) else None


def is_graph(layer: Any) -> bool:
  """Returns whether a layer is a functional model, or a Sequential model that knows its input's shape."""
  return isinstance(layer, Model) and hasattr(_functional(layer), '_nodes_by_depth')


def graph_nodes(model: Any) -> list[GraphNode]:
  """Returns the nodes of a model's graph, in the order of execution; those of one model are the same at each call."""
  by_depth = _functional(model)._nodes_by_depth
  return [_view(node) for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def graph_input(model: Any) -> Any:
  """Returns the symbolic input of a functional model, in its structure."""
  return _functional(model).input


def graph_output(model: Any) -> Any:
  """Returns the symbolic output of a functional model, in its structure."""
  return _functional(model).output


def make_model(like: Any, inputs: Any, outputs: Any) -> Any:
  """Returns a functional model with the name and `trainable` of another."""
  model = keras.Model(inputs, outputs, name=like.name)
  copy_own_trainable(like, model)
  if isinstance(like, keras.Sequential):
    model.input_spec = like.input_spec  # if the first call set the shape, the model still takes others
  return model


def build_like(old: Any, new: Any) -> None:
  """Builds `new` for the input shape of `old`, if `old` is built and `new` is not."""
  if old.built and not new.built:
    new.build_from_config(old.get_build_config())


def copy_layer(layer: Any, layer_class: type | None, config: dict[str, Any]) -> Any:
  """Returns a copy of a layer with fresh weights, or of an operation that is no layer."""
  if not isinstance(layer, Layer):
    clone = copy.copy(layer)
    clone._inbound_nodes, clone._outbound_nodes = [], []
    return clone
  identity = {'name': layer.name, 'dtype': layer.dtype_policy}
  if type(layer) is Activation:  # its function may have no configuration
    clone = Activation(layer.activation, **identity)
  elif type(layer) is keras.layers.Lambda:  # refused in safe mode, which is for files
    clone = keras.layers.Lambda(layer.function, layer._output_shape, layer.mask, layer.arguments, **identity)
  else:
    clone = (layer_class or type(layer)).from_config({**layer.get_config(), **config})
  copy_own_trainable(layer, clone)
  return clone


def settle_trainable(old: Any, new: Any) -> None:
  """Gives the layers and variables in a new layer, some of which `build` has made since, the old ones' `trainable`."""
  for part, new_part in zip(iterate_parts(old), iterate_parts(new)):
    if type(part) is not type(new_part) or not isinstance(part, Layer):
      continue
    copy_own_trainable(part, new_part)
    for variable, new_variable in zip(_own_variables(part), _own_variables(new_part)):
      new_variable.trainable = variable.trainable


def copy_identity(old: Any, new: Any) -> None:
  """Gives a new layer the `trainable` of an old one; a configuration in Keras 3 holds name and dtype."""
  copy_own_trainable(old, new)


def copy_own_trainable(old: Any, new: Any) -> None:
  """Gives a new layer the `trainable` of an old one. The layers in it are not changed."""
  if isinstance(old, Layer):
    new._trainable = old._trainable


def _own_variables(layer: Any) -> list[Any]:
  """Returns the variables of a layer that belong to none of its parts."""
  return layer._trainable_variables + layer._non_trainable_variables


def _functional(model: Any) -> Any:
  """Returns a functional model itself, and the one inside a Sequential model; None if that does not exist yet."""
  return model._functional if isinstance(model, keras.Sequential) else model


def _view(node: Any) -> GraphNode:
  """Returns the view of a node, which the node keeps, so that its id stands for the node."""
  if not hasattr(node, '_evonorm_view'):
    arguments = node.arguments
    outputs = node.outputs[0] if len(node.outputs) == 1 else list(node.outputs)
    node._evonorm_view = GraphNode(node.operation, outputs, list(arguments.keras_tensors), tuple(arguments.args),
                                   dict(arguments.kwargs), node.is_input)
  return node._evonorm_view
