"""What the converter needs of tf_keras: its classes, the layers in a layer, a model's graph, and a layer's identity.

A layer's identity here is its name, its dtype policy and `trainable`. tf_keras has no public interface for much of
this. Only this module uses its private attributes; only `model_garden_blocks` uses private attributes of Model Garden's
blocks. `keras3_internals` has the same names for Keras 3; `internals.internals_of` chooses.
"""
# ruff: noqa: SLF001  this is the module that may read tf_keras's private attributes

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.layers.recomputed import RecomputedConv2D
from evonorm_tf.layers.recomputed import RecomputedDepthwiseConv2D

Layer, Model, Variable = tf_keras.layers.Layer, tf_keras.Model, tf.Variable
BATCH_NORMALIZATIONS: tuple[type, ...] = (
    tf_keras.layers.BatchNormalization, tf_keras.layers.experimental.SyncBatchNormalization)
NORMALIZATIONS = (*BATCH_NORMALIZATIONS, tf_keras.layers.LayerNormalization, tf_keras.layers.GroupNormalization,
                  tf_keras.layers.UnitNormalization)
Activation, ReLU = tf_keras.layers.Activation, tf_keras.layers.ReLU
# Other layers that apply an activation -> its name.
ACTIVATIONS = {
    tf_keras.layers.ReLU: 'relu',
    tf_keras.layers.LeakyReLU: 'leaky_relu',
    tf_keras.layers.PReLU: 'prelu',
    tf_keras.layers.ELU: 'elu',
    tf_keras.layers.ThresholdedReLU: 'thresholded_relu',
    tf_keras.layers.Softmax: 'softmax',
}
ELEMENTWISE_LAYERS = (
    tf_keras.layers.Add, tf_keras.layers.Subtract, tf_keras.layers.Multiply, tf_keras.layers.Rescaling)
# Layers that `folding` knows: those that sum over channels, those with a kernel for each channel, those without weights
# through which a factor and a term for each channel pass, and those through which a factor passes.
DENSE = (tf_keras.layers.Dense, tf_keras.layers.Conv1D, tf_keras.layers.Conv2D, tf_keras.layers.Conv3D,
         RecomputedConv2D)
DEPTHWISE = (tf_keras.layers.DepthwiseConv2D, RecomputedDepthwiseConv2D)
UNWEIGHTED = (tf_keras.layers.GlobalAveragePooling1D, tf_keras.layers.GlobalAveragePooling2D,
              tf_keras.layers.GlobalAveragePooling3D, tf_keras.layers.Dropout, tf_keras.layers.SpatialDropout1D,
              tf_keras.layers.SpatialDropout2D, tf_keras.layers.SpatialDropout3D)
ZERO_PADDING = (tf_keras.layers.ZeroPadding1D, tf_keras.layers.ZeroPadding2D, tf_keras.layers.ZeroPadding3D)
linear = tf_keras.activations.linear
constant, flatten, map_structure = tf.constant, tf.nest.flatten, tf.nest.map_structure


def values_of(variable: tf.Variable) -> tf.Variable:
  """Returns what another variable can be assigned so that it has the same values and shares no memory.

  Args:
    variable: the variable to copy.
  """
  return variable


def op_name(layer: Any) -> str | None:
  """Returns the name of the op, such as 'relu' or 'add', if a layer stands for its call on a symbolic tensor.

  Args:
    layer: any layer.
  """
  symbol = getattr(layer, 'symbol', None)
  return symbol.rpartition('.')[-1].strip('_') if symbol else None


def op_options(layer: Any) -> dict[str, Any]:
  """Returns the options by which two layers of one activation may differ, such as a slope.

  Args:
    layer: an activation layer, or one that stands for an op.
  """
  if isinstance(layer, Activation):
    return getattr(layer.activation, 'keywords', {})  # the arguments of a functools.partial
  return {} if hasattr(layer, 'symbol') else layer.get_config()


def direct_parts(layer: tf_keras.layers.Layer) -> list[tf_keras.layers.Layer]:
  """Returns the layers that a layer holds directly, in its attributes or in containers such as lists and dicts there.

  The layers inside those layers are not included.

  Args:
    layer: any layer or model.
  """
  return list(layer._flatten_layers(recursive=False, include_self=False))


def iterate_parts(layer: tf_keras.layers.Layer) -> Iterator[tf_keras.layers.Layer]:
  """Yields a layer and all layers in it, at any depth, each before the layers that it holds.

  The caller may build a layer before it asks for the next; the layers that `build` makes are then yielded as well.

  Args:
    layer: any layer or model.
  """
  return layer._flatten_layers()


def list_parts_in_attribute(layer: tf_keras.layers.Layer) -> None:
  """Makes `save_weights` to a .weights.h5 file find all layers that a layer holds directly.

  That format looks into lists, but not into lists of lists. This puts all of these layers into one list, in an
  additional attribute.

  Args:
    layer: the layer, which is changed in place.
  """
  layer._all_parts = direct_parts(layer)


def children(part: Any) -> dict[str, Any] | None:
  """Returns the tracked parts (layers, variables, containers) of an object, by attribute name or position.

  Args:
    part: any object.

  Returns:
    A dictionary; None if the object is neither a layer nor a container that Keras tracks.
  """
  return part._trackable_children() if hasattr(part, '_trackable_children') else None


def is_graph(layer: tf_keras.layers.Layer) -> bool:
  """Returns whether a layer is a functional model, or a Sequential model that knows its input's shape.

  Args:
    layer: any layer or model.
  """
  return isinstance(layer, tf_keras.Model) and layer._is_graph_network


def graph_nodes(model: tf_keras.Model) -> list[Any]:
  """Returns the nodes of a model's graph, in the order of execution. A node is one call of a layer.

  Args:
    model: a functional model.
  """
  return [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]


def graph_input(model: tf_keras.Model) -> Any:
  """Returns the symbolic input of a functional model, in its structure.

  Args:
    model: a functional model.
  """
  return model.input


def graph_output(model: tf_keras.Model) -> Any:
  """Returns the symbolic output of a functional model, in its structure.

  Args:
    model: a functional model.
  """
  return model.output


def make_model(like: tf_keras.Model, inputs: Any, outputs: Any) -> tf_keras.Model:
  """Returns a functional model with the name and `trainable` of another, and what else is known from its first call.

  Args:
    like: the other model; the layers of the new one already have the `trainable` of its layers.
    inputs: the symbolic input.
    outputs: the symbolic output.
  """
  model = tf_keras.Model(inputs, outputs, name=like.name)
  copy_own_trainable(like, model)
  if isinstance(like, tf_keras.Sequential):
    model.input_spec = like.input_spec  # if the first call set the shape, the model still takes others
  if hasattr(like, 'output_specs'):
    model.output_specs = like.output_specs
  return model


def build_like(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Builds `new` for the input shape of `old`, with the names of its weights, if `old` is built and `new` is not.

  Args:
    old: the original layer.
    new: its replacement.
  """
  if new.built or not old.built:
    return
  scope = old.weights[0].name.rpartition('/')[0] if old.weights else old.name
  with tf.name_scope(f'{scope}/'):  # the slash makes the scope absolute
    new.build_from_config(old.get_build_config())
  new.built = True  # some `build`s do not set it, and would run again, with fresh weights, at the first call


def copy_layer(layer: tf_keras.layers.Layer, layer_class: type[tf_keras.layers.Layer] | None, config: dict[str, Any]
               ) -> tf_keras.layers.Layer:
  """Returns a copy of a layer with fresh weights; see `replacement.clone_layer`.

  Args:
    layer: the layer to copy.
    layer_class: the class of the copy; None for the layer's own.
    config: constructor arguments beside those of the layer's configuration, which they replace.
  """
  if type(layer) is tf_keras.layers.Activation:
    # In Model Garden, its function may be a functools.partial, which has no configuration.
    clone = tf_keras.layers.Activation(layer.activation)
  else:
    clone = (layer_class or type(layer)).from_config({**layer.get_config(), **config})
  copy_identity(layer, clone)
  return clone


def settle_trainable(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Does nothing: in tf_keras, variables that `build` made later follow their layer's `trainable`.

  Args:
    old: the original layer.
    new: its replacement, built.
  """


def copy_identity(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Gives a new layer the name, dtype policy and `trainable` of an old one. The layers in it are not changed.

  A layer made from the old one's configuration can lack them: the configuration of Model Garden's heads has none of the
  three, and the layers that a block makes in `build` do not come from a configuration at all.

  Args:
    old: the layer to copy from.
    new: the layer to change.
  """
  new._name = old.name
  copy_own_trainable(old, new)
  if new.dtype_policy.name != old.dtype_policy.name:
    new._set_dtype_policy(old.dtype_policy)


def copy_own_trainable(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Gives a new layer the `trainable` of an old one. The layers in it are not changed.

  Args:
    old: the layer to copy from.
    new: the layer to change.
  """
  new._trainable = old._trainable
