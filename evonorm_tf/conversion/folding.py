"""`fold_norm_acts`, which folds what is constant in inference into the linear layers around norm-activation layers.

Linear layers are dense layers, convolutions, and depthwise convolutions over images. What can be folded, with z the
output of one and y that of the layer that alone reads z:

- A batch normalization, y = z·a + b with a = γ/√(s² + ε) and b = β − μ·a, where μ and s² are moving averages, and the
  affine form of an EvoNorm, y = z·γ + β: wholly, into the linear layer before it. That is exact at the borders, too,
  for what is padded is the convolution's input. An activation behind the normalization stays.
- v1 of EvoNorm-B0 and -S0, into the linear layer before it. The layer is then `FoldedEvoNormB0` or `FoldedEvoNormS0`.
- γ of an EvoNorm or a layer graph into the linear layers that read its output, if nothing else does, also behind global
  average pooling, dropout, and padding with zeros; β into their biases, unless zeros are padded, where β would have to
  be added to the other positions alone. γ of the S series stays: it costs nothing there.

EvoNorms themselves cannot be folded: their variances over positions are those of each image.
"""

from collections import Counter
from collections.abc import Iterator
import dataclasses
import sys
from typing import Any

from absl import logging
import numpy as np

from evonorm_tf.conversion.internals import internals_of
from evonorm_tf.conversion.linear_layers import folded_weights
from evonorm_tf.conversion.linear_layers import is_channels_last
from evonorm_tf.conversion.linear_layers import is_linear_layer
from evonorm_tf.conversion.linear_layers import pads
from evonorm_tf.conversion.model_graph import all_nodes
from evonorm_tf.conversion.model_graph import Model
from evonorm_tf.conversion.model_graph import readers_of_tensors
from evonorm_tf.conversion.model_graph import rebuild
from evonorm_tf.conversion.replacement import carry_weights
from evonorm_tf.conversion.replacement import clone_layer
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.baseline_body import BatchNormBody
from evonorm_tf.layers.evonorm import FOLDED
from evonorm_tf.layers.evonorm import SampleSeries
from evonorm_tf.layers.norm_act_body import NormActBody
from evonorm_tf.layers.which_keras import PACKAGES

Layer = Any  # a layer of tf_keras or Keras 3
# v1 is folded where its values are between the first and its inverse, β is divided by γ where that gives at most the
# inverse, and γ by v1 where that gives at most the second, so that nothing overflows in float32 or bfloat16.
_SMALLEST, _LARGEST = 1e-6, 1e30


@dataclasses.dataclass(frozen=True)
class _Folded:
  """A norm-activation layer from which vectors have been folded away.

  Attributes:
    layer_class: the class of the new layer.
    gamma, beta: the vectors that remain, None for none.
  """
  layer_class: type
  gamma: np.ndarray | None
  beta: np.ndarray | None


def fold_norm_acts(model: Model) -> Model:
  """Returns a copy of a model for inference, with what is constant in norm-activation layers folded into convolutions.

  Batch normalizations that read a dense layer or a convolution disappear, as exporters of models have it, and so do
  affine forms; of EvoNorms γ, β and v1 are folded where their neighbours allow it: see the module. Outputs stay but for
  rounding, in inference; the new model is not for training. Converters of BN models (TensorFlow's own, TFLite's) fold
  batch normalizations anyway; for EvoNorms nothing else does.

  Other layers are copied with their names and weights. A layer is left as it is if it is called more than once or with
  `training=True`, or computes in float16 or in another dtype than the layer before it; if it or its neighbour is of a
  subclass that may compute something else, has its channels first, or has more weights than usual (LoRA, quantization);
  and v1 is left if the core is compiled (`jit_compile=True`), for that takes one pass anyway.

  Args:
    model: a functional or built Sequential model of tf_keras or Keras 3, which may contain other models. It is left
      unchanged.

  Returns:
    The new model, of the same Keras, not compiled.

  Raises:
    ValueError: if the model is of another kind, if it or a model in it is of a class with a `call` of its own, or if a
      layer cannot be made again from its configuration.

  Example:
    >>> import numpy as np
    >>> import tf_keras
    >>> from evonorm_tf import EvoNormS0, fold_norm_acts
    >>> model = tf_keras.Sequential([tf_keras.layers.Conv2D(8, 3), EvoNormS0(), tf_keras.layers.Conv2D(8, 1)])
    >>> x = np.float32(np.arange(75.).reshape(1, 5, 5, 3))
    >>> y = model(x)
    >>> np.allclose(fold_norm_acts(model)(x), y, rtol=1e-4, atol=1e-4)
    True
  """
  if not internals_of(model).is_graph(model):
    raise ArgumentError('`model` must be a functional model, or a Sequential one that has been built, received '
                        f'{type(model).__name__} {model.name!r}.')
  for graph in _graphs(model):
    definer = next(base for base in type(graph).__mro__ if 'call' in vars(base))
    if definer.__module__.partition('.')[0] not in PACKAGES:
      raise ArgumentError(f'`model`: {type(graph).__name__} {graph.name!r} has a `call` of its own, which the folded '
                          'model would not have.')
  return _Folding(model).run()


class _Folding:
  """One folding of a model: what becomes of its layers, by layer, and the new layers made so far."""

  def __init__(self, model: Model):
    self._model = model
    calls = all_nodes(model)
    self._calls = Counter(id(node.layer) for node in calls)
    self._changes: dict[Layer, dict[str, Any]] = {}  # a linear layer -> arguments of `folded_weights`
    self._folded: dict[Layer, _Folded] = {}
    self._activations: set[Layer] = set()  # normalizations of which the activation, or the name, alone remains
    self._dropped: set[int] = set()  # the ids of the nodes of those of which nothing remains
    self._made: dict[Layer, Layer] = {}
    in_training = {id(graph) for node in calls if internals_of(model).is_graph(node.layer)
                   and not _is_inference(node) for graph in _graphs(node.layer)}
    for graph in _graphs(model):
      if id(graph) not in in_training:
        self._plan(graph)

  def run(self) -> Model:
    """Returns the new model."""
    model = self._layer(self._model)
    for old, new in self._made.items():
      if old in self._changes:
        _set_linear(new, *folded_weights(old, **self._changes[old]))
      elif old in self._folded:
        _set_vectors(old, new, self._folded[old])
      elif old not in self._activations and not internals_of(old).is_graph(old):
        carry_weights(old, new)
    logging.info('%s: %d batch normalizations and affine forms are folded, and vectors of %d other layers.', model.name,
                 len(self._dropped) + len(self._activations), len(self._folded))
    return model

  def _layer(self, layer: Layer) -> Layer:
    if layer not in self._made:
      self._made[layer] = self._make(layer)
    return self._made[layer]

  def _make(self, layer: Layer) -> Layer:
    internals = internals_of(layer)
    if internals.is_graph(layer):
      return rebuild(layer, self._layer, self._dropped)
    if layer in self._activations:
      function = layer.activation if getattr(layer, 'nonlinearity', False) else internals.linear
      return internals.Activation(function, name=layer.name, dtype=layer.dtype_policy)
    if layer in self._folded:
      folded = self._folded[layer]
      return clone_layer(layer, folded.layer_class, scale=folded.gamma is not None, center=folded.beta is not None)
    if self._changes.get(layer, {}).keys() & {'shift_in', 'shift_out'}:
      return clone_layer(layer, use_bias=True)
    return clone_layer(layer)

  def _plan(self, graph: Model) -> None:
    internals, readers = internals_of(graph), readers_of_tensors(graph)
    nodes = internals.graph_nodes(graph)
    maker = {id(tensor): node for node in nodes for tensor in internals.flatten(node.outputs)}
    for node in nodes:
      layer = node.layer
      if not self._is_plain_call(node) or not getattr(layer, 'built', False) or layer.compute_dtype == 'float16':
        continue
      source = self._linear_source(node, maker, readers)
      if _is_affine(layer):
        if source is not None:
          self._fold_affine(node, source, is_output=None in readers[id(node.outputs)])
      elif isinstance(layer, NormActBody) and _is_own(layer):
        self._fold_vectors(node, source, list(self._linear_readers(node, readers)))

  def _is_plain_call(self, node: Any) -> bool:
    """Returns whether a node is its layer's only call, that of a single tensor, and not one as in training."""
    return (self._calls[id(node.layer)] == 1 and len(node.keras_inputs) == 1 and len(node.call_args) == 1
            and _is_inference(node))

  def _linear_source(self, node: Any, maker: dict[int, Any], readers: dict[int, list[Any]]) -> Layer | None:
    """Returns the linear layer whose output a node alone reads, None if there is none or if it activates."""
    tensor = node.keras_inputs[0]
    source = maker[id(tensor)]
    if not (is_linear_layer(source.layer) and self._is_plain_call(source) and len(readers[id(tensor)]) == 1
            and source.layer.compute_dtype == node.layer.compute_dtype):
      return None
    return source.layer if source.layer.activation is internals_of(source.layer).linear else None

  def _linear_readers(self, node: Any, readers: dict[int, list[Any]]) -> Iterator[tuple[Layer | None, bool]]:
    """Yields each layer that reads a node's output, None for others than linear ones, and whether zeros are padded."""
    for reader in readers.get(id(node.outputs), ()):
      if reader is None or not self._is_plain_call(reader) or not is_channels_last(reader.layer):
        yield None, False
      elif is_linear_layer(reader.layer) and reader.layer.compute_dtype != 'float16':
        yield reader.layer, pads(reader.layer)
      elif type(reader.layer) in internals_of(reader.layer).UNWEIGHTED:
        yield from self._linear_readers(reader, readers)
      elif type(reader.layer) in internals_of(reader.layer).ZERO_PADDING:
        yield from ((layer, True) for layer, _ in self._linear_readers(reader, readers))
      else:
        yield None, False

  def _fold_affine(self, node: Any, source: Layer, is_output: bool) -> None:
    """Folds a batch normalization or an affine form wholly into the layer before it; outputs keep their names."""
    layer = node.layer
    scale, shift = _affine_vectors(layer)
    self._changes.setdefault(source, {}).update(scale_out=scale, shift_out=shift)
    if is_output or isinstance(layer, BatchNormBody) and layer.nonlinearity:
      self._activations.add(layer)
    else:
      self._dropped.add(id(node))

  def _fold_vectors(self, node: Any, source: Layer | None, readers: list[tuple[Layer | None, bool]]) -> None:
    """Folds v1 into the convolution before a layer, and γ and β into those that read it, as far as they can be."""
    layer, is_free = node.layer, isinstance(node.layer, SampleSeries)
    is_linear, is_padded = bool(readers) and all(reader for reader, _ in readers), any(pad for _, pad in readers)
    gamma, beta = (None if vector is None else _values(vector) for vector in (layer.gamma, layer.beta))
    layer_class = type(layer)
    if source is not None and _can_fold_v1(layer) and (is_linear or is_free or gamma is not None):
      layer_class = getattr(sys.modules[layer_class.__module__], FOLDED[layer_class.__name__])
      v1 = _values(layer.v1)
      self._changes.setdefault(source, {}).update(scale_out=v1)
      gamma = (1. if gamma is None else gamma) / v1
    into_readers = {}
    if is_linear and beta is not None and not is_padded:
      into_readers['shift_in'], beta = beta, None
    if is_linear and gamma is not None and not is_free and (
        beta is None or np.all(np.abs(gamma) > _SMALLEST * np.abs(beta))):
      into_readers['scale_in'] = gamma
      gamma, beta = None, None if beta is None else beta / gamma
    for reader, _ in readers if into_readers else ():
      self._changes.setdefault(reader, {}).update(into_readers)
    if into_readers or layer_class is not type(layer):
      self._folded[layer] = _Folded(layer_class, gamma, beta)


def _graphs(model: Model) -> Iterator[Model]:
  """Yields a functional model and the functional models in it."""
  yield model
  for part in internals_of(model).direct_parts(model):
    if internals_of(part).is_graph(part):
      yield from _graphs(part)


def _is_inference(node: Any) -> bool:
  """Returns whether no argument of a call, such as `training=True`, makes it differ from a plain one in inference."""
  return not any(value is not None and value is not False for value in node.call_kwargs.values())


def _is_own(layer: Layer) -> bool:
  """Returns whether a layer is of a class of this package itself, of which it is known what it computes."""
  return type(layer).__module__.startswith('evonorm_tf.layers.')


def _is_affine(layer: Layer) -> bool:
  """Returns whether a layer is a batch normalization, with or without an activation, or an affine form."""
  internals = internals_of(layer)
  if isinstance(layer, BatchNormBody):
    return _is_own(layer) and not isinstance(layer.activation, internals.Layer)  # it may have weights
  if isinstance(layer, NormActBody):
    return _is_own(layer) and not layer.nonlinearity
  return (type(layer) in internals.BATCH_NORMALIZATIONS
          and list(np.ravel(layer.axis)) in ([-1], [layer.input_spec.ndim - 1]))


def _affine_vectors(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
  """Returns the vectors a and b, float64, of which a layer computes z·a + b in inference."""
  gamma = 1. if layer.gamma is None else _values(layer.gamma)
  beta = 0. if layer.beta is None else _values(layer.beta)
  norm = layer.norm if isinstance(layer, BatchNormBody) else layer
  if isinstance(norm, NormActBody):
    return np.asarray(gamma), np.asarray(beta)
  mean, variance = _values(norm.moving_mean), _values(norm.moving_variance)
  factor = gamma / np.sqrt(variance + norm.epsilon)
  return factor, beta - mean * factor


def _can_fold_v1(layer: Layer) -> bool:
  """Returns whether v1 of a layer can join the linear layer before it; see `fold_norm_acts`."""
  if type(layer).__name__ not in FOLDED or layer.jit_compile:
    return False
  v1, gamma = np.abs(_values(layer.v1)), np.abs(1. if layer.gamma is None else _values(layer.gamma))
  return bool(np.all((v1 > _SMALLEST) & (v1 < 1 / _SMALLEST) & (gamma < _LARGEST * v1)))


def _set_linear(layer: Layer, kernel: np.ndarray, bias: np.ndarray) -> None:
  layer.set_weights([kernel, bias] if layer.use_bias else [kernel])


def _set_vectors(old: Layer, new: Layer, folded: _Folded) -> None:
  """Gives a new layer the vectors that remain, and all other weights of the old one."""
  others = old.get_weights()[sum(vector is not None for vector in (old.gamma, old.beta)):]
  new.set_weights([vector for vector in (folded.gamma, folded.beta) if vector is not None] + others)


def _values(variable: Any) -> np.ndarray:
  """Returns the values of a variable, float64."""
  return np.asarray(internals_of(variable).values_of(variable), np.float64)
