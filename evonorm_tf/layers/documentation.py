"""Complete docstrings and signatures for the public layers, assembled from the classes that each layer inherits from.

Each constructor argument is described once, by the class whose `__init__` takes it. `documented` gathers these
descriptions, so that `help(EvoNormB0)` shows all arguments and `inspect.signature(EvoNormB0)` names them.
"""

from collections.abc import Sequence
import inspect
import re
from typing import TypeVar

_SECTIONS = ('Args', 'Input', 'Output', 'Raises', 'Example', 'Reference')
_Layer = TypeVar('_Layer', bound=type)


def documented(layer_class: _Layer) -> _Layer:
  """Gives a layer class a complete docstring and signature; a class decorator.

  Both are assembled from those classes among the layer's bases, the layer itself first, that belong to this package.
  The summary is the first paragraph of the first docstring. The other paragraphs of each docstring follow, and then the
  sections, such as `Args`; sections of the same name are joined. Examples are written for tf_keras; in the docstring of
  a Keras 3 layer, their imports are those of Keras 3, and outputs are converted to NumPy's arrays.

  Args:
    layer_class: a Keras layer class, which is changed in place.

  Returns:
    `layer_class`.
  """
  package = __name__.partition('.')[0]
  classes = [c for c in layer_class.__mro__ if c.__module__.partition('.')[0] == package]
  in_keras_3 = any(c.__module__.partition('.')[0] == 'keras' for c in layer_class.__mro__)
  docstrings = [inspect.cleandoc(c.__dict__.get('__doc__') or '') for c in classes]
  layer_class.__doc__ = _join_docstrings(docstrings, in_keras_3)
  layer_class.__signature__ = _OwnSignature(layer_class, _join_signatures(classes))
  return layer_class


def _join_docstrings(docstrings: Sequence[str], in_keras_3: bool) -> str:
  """Returns one docstring, whose sections join the sections of that name of all docstrings."""
  parts = [_split(docstring) for docstring in docstrings if docstring]
  summary = parts[0][''].partition('\n\n')[0]
  prose = [part[''].partition('\n\n')[2] for part in parts]
  sections = {name: ''.join(part[name] for part in parts if name in part) for name in _SECTIONS}
  if in_keras_3:
    sections['Example'] = sections['Example'].replace('tf_keras', 'keras').replace(
        'from evonorm_tf import', 'from evonorm_tf.keras3 import').replace(
            'evonorm_tf.layers.keras2', 'evonorm_tf.layers.keras3').replace(
                '>>> import numpy as np', '>>> import keras\n  >>> import numpy as np')
    sections['Example'] = re.sub(  # NumPy takes no array of PyTorch that has a gradient
        r'np\.ravel\((\w+(?:\(x\))?)\)', r'np.ravel(keras.ops.convert_to_numpy(\1))', sections['Example'])
  shown = [f'{name}:{text}' for name, text in sections.items() if text]
  return '\n\n'.join([summary, *filter(None, prose), *shown]).replace('\n', '\n  ') + '\n  '


def _split(docstring: str) -> dict[str, str]:
  """Returns the text of each section of a docstring, by the section's name; '' is the text before the first section."""
  before, *rest = re.split(rf'^({"|".join(_SECTIONS)}):', docstring, flags=re.MULTILINE)
  return {'': before.strip(), **{name: text.rstrip() for name, text in zip(rest[::2], rest[1::2])}}


def _join_signatures(classes: Sequence[type]) -> inspect.Signature:
  """Returns a signature with the parameters of all constructors; only the first one's can be positional."""
  constructors = [inspect.signature(c.__dict__['__init__']) for c in classes if '__init__' in c.__dict__]
  joined: dict[str, inspect.Parameter] = {}
  for i, constructor in enumerate(constructors):
    for parameter in list(constructor.parameters.values())[1:]:
      if i and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
        parameter = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
      joined.setdefault(parameter.name, parameter)
  return inspect.Signature(sorted(joined.values(), key=lambda parameter: parameter.kind))


class _OwnSignature:
  """The `__signature__` of one class. Subclasses do not inherit it, because they may have other arguments."""

  def __init__(self, layer_class: type, signature: inspect.Signature):
    self._layer_class = layer_class
    self._signature = signature

  def __get__(self, layer: object, layer_class: type) -> inspect.Signature:
    if layer is not None or layer_class is not self._layer_class:  # a layer's own signature is that of its call
      raise AttributeError('__signature__')
    return self._signature
