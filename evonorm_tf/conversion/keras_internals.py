"""The private attributes of tf_keras that conversion needs: layers within layers, graphs, identities of layers.

tf_keras has no public way to these. Except for the blocks of Model Garden, they are accessed here alone.
"""
# ruff: noqa: SLF001  this is the one module that may

from collections.abc import Iterator
from typing import Any

import tf_keras


def direct_parts(layer: tf_keras.layers.Layer) -> list[tf_keras.layers.Layer]:
  """Returns the layers that a layer holds itself, in attributes or their containers, but not the parts of those."""
  return list(layer._flatten_layers(recursive=False, include_self=False))


def iterate_parts(layer: tf_keras.layers.Layer) -> Iterator[tf_keras.layers.Layer]:
  """Yields a layer and all layers in it, each before its parts, which it may build in the meantime."""
  return layer._flatten_layers()


def list_parts_in_attribute(layer: tf_keras.layers.Layer) -> None:
  """Makes `save_weights` to .weights.h5 find all parts of a layer: it looks into lists, but not into lists of lists."""
  layer._all_parts = direct_parts(layer)


def children(part: Any) -> dict[str, Any] | None:
  """Returns the tracked parts of a layer or container, by attribute or position; None for anything else."""
  return part._trackable_children() if hasattr(part, '_trackable_children') else None


def is_graph(layer: tf_keras.layers.Layer) -> bool:
  """Returns whether a layer is a functional model, or a Sequential whose input is known."""
  return isinstance(layer, tf_keras.Model) and layer._is_graph_network


def graph_nodes(model: tf_keras.Model) -> list[Any]:
  """Returns the calls of layers that make up a model's graph, inputs first."""
  return [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]


def copy_identity(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Gives a layer, but not its parts, the name, the dtype and `trainable` of another.

  The configuration of Model Garden's heads lacks all three, and the layers that a block's `build` makes take them from
  elsewhere.
  """
  new._name = old.name
  copy_own_trainable(old, new)
  if new.dtype_policy.name != old.dtype_policy.name:
    new._set_dtype_policy(old.dtype_policy)


def copy_own_trainable(old: tf_keras.layers.Layer, new: tf_keras.layers.Layer) -> None:
  """Gives a layer, but not its parts, the `trainable` of another."""
  new._trainable = old._trainable
