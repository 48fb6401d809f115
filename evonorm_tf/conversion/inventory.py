"""`list_norm_acts`, which lists the normalizations and activations left in a model, to check a conversion."""

from collections.abc import Iterator
import typing

import tf_keras

from evonorm_tf.conversion import keras_internals
from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.replacement import BATCH_NORMALIZATIONS
from evonorm_tf.layers.baseline_layer import BaselineLayer
from evonorm_tf.layers.keras2 import NormActLayer

_NORMALIZATIONS = (
    *BATCH_NORMALIZATIONS, tf_keras.layers.LayerNormalization, tf_keras.layers.GroupNormalization,
    tf_keras.layers.UnitNormalization)


class NormOrAct(typing.NamedTuple):
  """A normalization or an activation in a model.

  Attributes:
    path: the names of the layers from the model inwards, joined by slashes. For an activation function that is not a
      layer, the name of its attribute comes last: "block/conv/activation".
    kind: "normalization" or "activation".
    function: the name of the normalization's class or of the activation function.
  """
  path: str
  kind: str
  function: str


def list_norm_acts(model: tf_keras.layers.Layer) -> list[NormOrAct]:
  """Returns the normalizations and activations in a model, at any depth, without repetitions.

  It also finds activation functions in attributes of layers. The norm-activation layers of this package and the
  identity are not listed.

  Args:
    model: a model, or any layer.
  """
  return list(dict.fromkeys(_find(model, '')))


def _find(layer: tf_keras.layers.Layer, path: str) -> Iterator[NormOrAct]:
  """Yields the normalizations and activations in a layer, including the layer itself."""
  if isinstance(layer, (NormActLayer, BaselineLayer)):
    return
  if isinstance(layer, _NORMALIZATIONS):
    yield NormOrAct(path, 'normalization', type(layer).__name__)
  elif function_name(layer):
    yield NormOrAct(path, 'activation', function_name(layer))
  else:
    yield from _find_functions(layer, path)
    for part in keras_internals.direct_parts(layer):
      yield from _find(part, f'{path}/{part.name}'.lstrip('/'))


def _find_functions(layer: tf_keras.layers.Layer, path: str) -> Iterator[NormOrAct]:
  """Yields the activation functions, not layers, in attributes such as `activation` or `_expand_act`."""
  for attribute, value in vars(layer).items():
    is_function = callable(value) and not isinstance(value, tf_keras.layers.Layer)
    is_activation = 'activation' in attribute or 'act' in attribute.split('_')
    if is_activation and is_function and function_name(value):
      yield NormOrAct(f'{path}/{attribute}'.lstrip('/'), 'activation', function_name(value))
