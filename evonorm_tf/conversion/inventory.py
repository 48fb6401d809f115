"""`list_norm_acts`, which lists the normalizations and activations left in a model, to check a conversion."""

from collections.abc import Iterator
import typing

from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.internals import internals_of
from evonorm_tf.conversion.replacement import Layer
from evonorm_tf.layers.baseline_body import BaselineBody
from evonorm_tf.layers.norm_act_body import NormActBody
from evonorm_tf.layers.which_keras import keras_name


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


def list_norm_acts(model: Layer) -> list[NormOrAct]:
  """Returns the normalizations and activations in a model, at any depth, without repetitions.

  It also finds activation functions in attributes of layers. The norm-activation layers of this package and the
  identity are not listed.

  Args:
    model: a model, or any layer.
  """
  return list(dict.fromkeys(_find(model, '')))


def _find(layer: Layer, path: str) -> Iterator[NormOrAct]:
  """Yields the normalizations and activations in a layer, including the layer itself."""
  if isinstance(layer, (NormActBody, BaselineBody)):
    return
  internals = internals_of(layer)
  if isinstance(layer, internals.NORMALIZATIONS):
    yield NormOrAct(path, 'normalization', type(layer).__name__)
  elif function_name(layer):
    yield NormOrAct(path, 'activation', function_name(layer))
  else:
    yield from _find_functions(layer, path)
    for part in internals.direct_parts(layer):
      yield from _find(part, f'{path}/{part.name}'.lstrip('/'))


def _find_functions(layer: Layer, path: str) -> Iterator[NormOrAct]:
  """Yields the activation functions, not layers, in attributes such as `activation` or `_expand_act`."""
  for attribute, value in vars(layer).items():
    is_function = callable(value) and not keras_name(value)
    is_activation = 'activation' in attribute or 'act' in attribute.split('_')
    if is_activation and is_function and function_name(value):
      yield NormOrAct(f'{path}/{attribute}'.lstrip('/'), 'activation', function_name(value))
