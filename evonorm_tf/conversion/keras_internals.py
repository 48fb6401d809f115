"""Access to private attributes of tf_keras: the layers in a layer, a model's graph, and a layer's identity.

A layer's identity here is its name, its dtype policy and `trainable`. tf_keras has no public interface for what the
converter needs. Only this module uses these attributes; only `model_garden_blocks` uses private attributes of Model
Garden's blocks.
"""
# ruff: noqa: SLF001  this is the module that may read tf_keras's private attributes

from collections.abc import Iterator
from typing import Any

import tf_keras


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
