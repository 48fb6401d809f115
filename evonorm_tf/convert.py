"""convert_norm_act: puts norm-activation layers into a functional model built with batch normalization.

A batch normalization whose output goes into an activation, and nowhere else, becomes the fused layer, and the
activation goes; every other one becomes the affine form (an EvoNorm stands for a normalization and
its activation together; where a network normalizes without activating, γ and β remain).
"""

import dataclasses

from absl import logging
import tensorflow as tf
import tf_keras

from evonorm_tf.model_garden_blocks import is_registered
from evonorm_tf.model_garden_blocks import replace_block
from evonorm_tf.norm_act import get_norm_act
from evonorm_tf.replacement import BATCH_NORMALIZATIONS
from evonorm_tf.replacement import carry_weights
from evonorm_tf.replacement import check_channels_last
from evonorm_tf.replacement import clone_layer
from evonorm_tf.replacement import function_name
from evonorm_tf.replacement import FUSIBLE_FUNCTIONS
from evonorm_tf.replacement import has_batch_norm
from evonorm_tf.replacement import replace_norm


@dataclasses.dataclass(frozen=True)
class ConversionPlan:
  """What a conversion replaces and what it leaves. A layer in a model in the model has the path "inner/layer".

  Attributes:
    fused: batch normalization that becomes the fused layer -> the activations that it takes in.
    affine: batch normalizations that become the affine form.
    blocks: layers of registered classes, replaced as wholes.
    left: activation layers that stay, for no batch normalization feeds them or they are gates or outputs.
  """
  fused: dict[str, tuple[str, ...]]
  affine: tuple[str, ...]
  blocks: tuple[str, ...]
  left: tuple[str, ...]

  def __str__(self):
    fused = (f'{norm} + {" + ".join(activations)}' for norm, activations in self.fused.items())
    parts = {'fused': tuple(fused), 'affine': self.affine, 'blocks': self.blocks, 'activations left': self.left}
    return '\n'.join(f'{part} ({len(names)}): {", ".join(names) or "none"}' for part, names in parts.items())


def convert_norm_act(model, norm_act):
  """Returns a new model in which norm-activation layers stand for batch normalizations and their activations.

  The new layer has the name, the dtype and `trainable` of the batch normalization. All other layers keep their names
  and, copied, their weights and configuration; a layer that is shared stays shared. The activations that are fused
  are gone; where one is an output of the model, that output is named after the normalization. The plan is logged at
  INFO; `plan_conversion` returns it.

  "bn_relu" and "bn_silu" take over the options (unless the factory sets them) and all weights of a batch
  normalization: "bn_relu" gives a ReLU network's own outputs, in training and inference. Any other layer is another
  function: it starts fresh, from the initializers, regularizers and constraints of the normalization's γ and β.

  Activations are known by name, so one that is spelt out in arithmetic, as the hard swish of keras.applications'
  MobileNetV3 (x·ReLU6(x + 3)/6), is none: its normalizations become affine forms and it stays. Read the plan.

  The new model is a plain `tf_keras.Model`, whatever the class of the old one (its `output_specs`, which Model
  Garden's backbones and decoders have, is kept), and not compiled. With replaced blocks of Model Garden it is saved
  by its weights or in a checkpoint, not as a whole: the blocks' configuration does not tell the norm-activation layer.

  Args:
    model: a functional (or built Sequential) model, which is left as it is, models within models included; or a layer
      of a class that `register_block` knows, such as a head of Model Garden, before its first call or after.
    norm_act: a name or a file as `get_norm_act` takes it, its factory, or any callable that returns a fresh layer for
      `norm_act(nonlinearity=..., name=..., dtype=...)`.

  Raises:
    ValueError: see `plan_conversion`.
  """
  norm_act = norm_act if callable(norm_act) else get_norm_act(norm_act)
  if not _is_graph(model) and is_registered(model):
    replacement = replace_block(model, norm_act)
    carry_weights(model, replacement)
    return replacement
  logging.info('Conversion of %s:\n%s', model.name, plan_conversion(model))
  return _Conversion(norm_act, _find_readers(model)).run(model)


def plan_conversion(model: tf_keras.Model) -> ConversionPlan:
  """Returns what `convert_norm_act` would do to the model.

  Raises:
    ValueError: if the model is not functional or not built; if a batch normalization is read by an activation and by
      something else, be it another activation's function or the model's output; if it normalizes another axis than
      the last; if a layer of an unregistered class hides a batch normalization; if a loss or a metric was added to
      the graph.
  """
  if not _is_graph(model):
    raise ValueError('`model` must be a built functional model, or a layer of a class that `register_block` knows, '
                     f'received {type(model).__name__} {model.name!r}.')
  paths = dict(_layer_paths(model))
  readers = _find_readers(model)
  for layer, path in paths.items():
    _check_layer(layer, path, readers)
  fused = {paths[bn]: tuple(dict.fromkeys(paths[reader.layer] for reader in found))
           for bn, found in readers.items() if _is_fused(found)}
  gone = {id(reader) for found in readers.values() if _is_fused(found) for reader in found}
  return ConversionPlan(
      fused,
      affine=tuple(paths[bn] for bn, found in readers.items() if not _is_fused(found)),
      blocks=tuple(path for layer, path in paths.items() if is_registered(layer)),
      left=tuple(dict.fromkeys(
          paths[node.layer] for node in _all_nodes(model)
          if function_name(node.layer) and id(node) not in gone)))


def _is_graph(layer) -> bool:
  """Whether the layer is a functional model, or a Sequential whose input is known."""
  return isinstance(layer, tf_keras.Model) and layer._is_graph_network


def _nodes(model: tf_keras.Model) -> list:
  """The calls of layers that make up the model's graph, inputs first."""
  return [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]


def _layer_paths(model: tf_keras.Model, prefix=''):
  """Yields each layer of the model, and of the models in it, with its path."""
  for layer in model.layers:
    yield layer, prefix + layer.name
    if _is_graph(layer):
      yield from _layer_paths(layer, f'{prefix}{layer.name}/')


def _models(model: tf_keras.Model) -> list:
  """The model and those in it, each once."""
  return [model, *dict.fromkeys(layer for layer, _ in _layer_paths(model) if _is_graph(layer))]


def _all_nodes(model: tf_keras.Model) -> list:
  return [node for graph in _models(model) for node in _nodes(graph)]


def _find_readers(model: tf_keras.Model) -> dict:
  """Returns batch normalization -> the nodes that read it, in any model; None for a model's output."""
  readers = {node.layer: [] for node in _all_nodes(model) if isinstance(node.layer, BATCH_NORMALIZATIONS)}
  for graph in _models(model):
    reads = [(tensor, node) for node in _nodes(graph) for tensor in node.keras_inputs]
    for tensor, node in reads + [(tensor, None) for tensor in graph.outputs]:
      bn = tensor._keras_history.layer
      if bn in readers:
        readers[bn].append(node)
  return readers


def _fusible_function(node):
  """Returns what identifies the activation that the node computes, or None if it is not one to be fused."""
  if node is None or function_name(node.layer) not in FUSIBLE_FUNCTIONS:
    return None
  # Two layers, or a layer and an op, of one name may differ in a slope or a threshold. PReLUs differ in their weights.
  if isinstance(node.layer, tf_keras.layers.Activation):
    config = getattr(node.layer.activation, 'keywords', {})  # of a functools.partial
  else:
    config = {} if hasattr(node.layer, 'symbol') else node.layer.get_config()
  options = {key: value for key, value in config.items() if key not in ('name', 'trainable', 'dtype')}
  if isinstance(node.layer, tf_keras.layers.ReLU) and not (options['negative_slope'] or options['threshold']):
    options = {} if options['max_value'] in (None, 6) else options
  constants = [value for value in (*node.call_args[1:], *node.call_kwargs.values()) if value is not None]
  weights = node.layer.name if node.layer.weights else ''
  return function_name(node.layer), repr(sorted(options.items())), repr(constants), weights


def _is_fused(readers: list) -> bool:
  """Whether all readers of a batch normalization, one at least, compute one activation."""
  functions = {_fusible_function(node) for node in readers}
  return len(functions) == 1 and None not in functions


def _check_layer(layer: tf_keras.layers.Layer, path: str, readers: dict) -> None:
  """Raises ValueError for a layer that cannot be converted; see `plan_conversion`."""
  if layer in readers:
    check_channels_last(layer)
    if len({_fusible_function(node) for node in readers[layer]}) > 1:
      kinds = ', '.join(sorted({'the output' if node is None else node.layer.name for node in readers[layer]}))
      raise ValueError(f'Layer {path!r} is read by consumers of different kinds ({kinds}): neither the fused layer nor '
                       'the affine form would keep its meaning.')
  elif type(layer).__name__ in ('AddLoss', 'AddMetric'):
    raise ValueError(f'Layer {path!r} comes from `add_loss` or `add_metric`, which a conversion would lose: add the '
                     'loss or metric after the conversion.')
  elif has_batch_norm(layer) and not _is_graph(layer) and not is_registered(layer):
    raise ValueError(f'Layer {path!r} of class {type(layer).__name__} hides a batch normalization: register how to '
                     'replace it by `evonorm_tf.register_block`.')


class _Conversion:
  """One conversion: what has become of each layer, so that a shared layer is made once."""

  def __init__(self, norm_act, readers: dict):
    self._norm_act = norm_act
    self._fused = {bn for bn, found in readers.items() if _is_fused(found)}
    self._dropped = {id(node) for bn in self._fused for node in readers[bn]}
    self._made = {}

  def run(self, model: tf_keras.Model) -> tf_keras.Model:
    """Returns the converted model with its weights."""
    converted = self._rebuild(model)
    for old, new in self._made.items():
      if not _is_graph(old):
        carry_weights(old, new)
    return converted

  def _rebuild(self, model: tf_keras.Model) -> tf_keras.Model:
    """Calls the new layers in the order and the way of the old ones."""
    tensors = {}

    def translate(structure):
      return tf.nest.map_structure(lambda value: tensors.get(id(value), value), structure)

    for node in _nodes(model):
      if id(node) in self._dropped:
        outputs = translate(node.keras_inputs[0])
      elif node.is_input:
        outputs = self._layer(node.layer).output
      else:
        args, kwargs = translate((node.call_args, node.call_kwargs))
        outputs = self._layer(node.layer)(*args, **kwargs)
      tensors.update(zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs)))
    converted = tf_keras.Model(translate(model.input), translate(model.output), name=model.name)
    if not model.trainable:
      converted.trainable = False
    if hasattr(model, 'output_specs'):
      converted.output_specs = model.output_specs
    return converted

  def _layer(self, layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """The layer that takes the place of `layer`, made on first use."""
    if layer not in self._made:
      self._made[layer] = self._make(layer)
    return self._made[layer]

  def _make(self, layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    if isinstance(layer, BATCH_NORMALIZATIONS):
      return replace_norm(layer, self._norm_act, nonlinearity=layer in self._fused)
    if _is_graph(layer):
      return self._rebuild(layer)
    if is_registered(layer):
      return replace_block(layer, self._norm_act)
    return clone_layer(layer)
