"""convert_norm_act: puts norm-activation layers into a functional model built with batch normalization.

A batch normalization whose output goes into an activation, and nowhere else, becomes the fused layer, and the
activation goes; every other one becomes the affine form (an EvoNorm stands for a normalization and
its activation together; where a network normalizes without activating, γ and β remain).
"""

import dataclasses

from absl import logging
import tensorflow as tf
import tf_keras

from evonorm_tf.conversion import model_garden_blocks  # noqa: F401  # fills the registry
from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.block_registry import is_assembly
from evonorm_tf.conversion.block_registry import is_registered
from evonorm_tf.conversion.block_registry import replace_registered
from evonorm_tf.conversion.model_graph import all_nodes
from evonorm_tf.conversion.model_graph import find_readers
from evonorm_tf.conversion.model_graph import graph_nodes
from evonorm_tf.conversion.model_graph import is_fused
from evonorm_tf.conversion.model_graph import is_graph
from evonorm_tf.conversion.model_graph import layer_paths
from evonorm_tf.conversion.replacement import BATCH_NORMALIZATIONS
from evonorm_tf.conversion.replacement import carry_weights
from evonorm_tf.conversion.replacement import check_channels_last
from evonorm_tf.conversion.replacement import clone_layer
from evonorm_tf.conversion.replacement import has_batch_norm
from evonorm_tf.conversion.replacement import replace_norm
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act


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

  Activations are known by name, and hard swish, SiLU and Mish also where they are spelt out in arithmetic, as the
  x·ReLU6(x + 3)/6 of keras.applications' MobileNetV3. Any other that is spelt out is none: its normalization becomes
  the affine form and it stays. Read the plan.

  The new model is a plain `tf_keras.Model`, whatever the class of the old functional one (its `output_specs`, which
  Model Garden's backbones and decoders have, is kept), and not compiled. With replaced blocks of Model Garden it is
  saved by its weights or in a checkpoint, not as a whole: the blocks' configuration does not tell the norm-activation
  layer. To restore such a checkpoint, convert a model of the same architecture first, called or not.

  Of the TF Model Garden (official.vision.modeling) all 2-D and 3-D backbones and decoders, the heads, and whole
  `MaskRCNNModel`s, `RetinaNetModel`s and `SegmentationModel`s are known, which keep their class. Its ASPP decoder and
  its mask scoring head must have been called, for they make their parts only then. A layer of any other class that
  hides a batch normalization is refused until `register_block` or `register_assembly` teaches how to replace it.

  Args:
    model: a functional (or built Sequential) model, which is left as it is, models within models included; or a layer
      or model of a class that is registered, such as a head or a detector of Model Garden, before its first call or
      after.
    norm_act: a name or a file as `get_norm_act` takes it, its factory, or any callable that returns a fresh layer for
      `norm_act(nonlinearity=..., name=..., dtype=...)`.

  Raises:
    ValueError: see `plan_conversion`; or if a registered layer must be called first.
  """
  norm_act = norm_act if callable(norm_act) else get_norm_act(norm_act)
  logging.info('Conversion of %s:\n%s', model.name, plan_conversion(model))
  return _Conversion(norm_act, find_readers(model)).run(model)


def plan_conversion(model: tf_keras.layers.Layer) -> ConversionPlan:
  """Returns what `convert_norm_act` would do to the model.

  Raises:
    ValueError: if the model is neither functional and built nor of a registered class; if a batch normalization is
      read by an activation and by something else, be it another activation's function or the model's output; if it
      normalizes another axis than the last; if a layer of an unregistered class hides a batch normalization; if a
      loss or a metric was added to the graph.
  """
  if not is_graph(model) and not is_registered(model):
    raise ArgumentError('`model` must be a built functional model, or a layer of a class that `register_block` or '
                        f'`register_assembly` knows, received {type(model).__name__} {model.name!r}.')
  if not is_graph(model) and not is_assembly(model):
    return ConversionPlan({}, affine=(), blocks=(model.name,), left=())
  paths = dict(layer_paths(model))
  readers = find_readers(model)
  for layer, path in paths.items():
    _check_layer(layer, path, readers)
  fused = {paths[bn]: tuple(dict.fromkeys(paths[node.layer] for reader in found for node in reader.nodes))
           for bn, found in readers.items() if is_fused(found)}
  gone = _fused_nodes(readers)
  return ConversionPlan(
      fused,
      affine=tuple(paths[bn] for bn, found in readers.items() if not is_fused(found)),
      blocks=tuple(path for layer, path in paths.items() if is_registered(layer) and not is_assembly(layer)),
      left=tuple(dict.fromkeys(
          paths[node.layer] for node in all_nodes(model) if function_name(node.layer) and id(node) not in gone)))


def _fused_nodes(readers: dict) -> set:
  """Ids of the nodes that fused layers take in."""
  return {id(node) for found in readers.values() if is_fused(found) for reader in found for node in reader.nodes}


def _check_layer(layer: tf_keras.layers.Layer, path: str, readers: dict) -> None:
  """Raises ValueError for a layer that cannot be converted; see `plan_conversion`."""
  if layer in readers:
    check_channels_last(layer)
    if len({reader.function for reader in readers[layer]}) > 1:
      kinds = ', '.join(sorted(set(map(str, readers[layer]))))
      raise ArgumentError(f'Layer {path!r} is read by consumers of different kinds ({kinds}): neither the fused layer nor '
                          'the affine form would keep its meaning.')
  elif type(layer).__name__ in ('AddLoss', 'AddMetric'):
    raise ArgumentError(f'Layer {path!r} comes from `add_loss` or `add_metric`, which a conversion would lose: add the '
                        'loss or metric after the conversion.')
  elif has_batch_norm(layer) and not is_graph(layer) and not is_registered(layer):
    raise ArgumentError(f'Layer {path!r} of class {type(layer).__name__} hides a batch normalization: register how to '
                        'replace it by `evonorm_tf.register_block`.')


class _Conversion:
  """One conversion: what has become of each layer, so that a shared layer is made once."""

  def __init__(self, norm_act, readers: dict):
    self._norm_act = norm_act
    self._fused = {bn for bn, found in readers.items() if is_fused(found)}
    self._dropped = _fused_nodes(readers)
    self._made = {}

  def run(self, model: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """Returns the converted model with its weights."""
    converted = self._layer(model)
    for old, new in self._made.items():
      if not is_graph(old) and not is_assembly(old):  # whose parts are carried over one by one
        carry_weights(old, new)
    return converted

  def _layer(self, layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """The layer or model that takes the place of `layer`, made on first use, its weights not yet carried over."""
    if layer not in self._made:
      self._made[layer] = self._make(layer)
    return self._made[layer]

  def _make(self, layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    if isinstance(layer, BATCH_NORMALIZATIONS):
      return replace_norm(layer, self._norm_act, nonlinearity=layer in self._fused)
    if is_graph(layer):
      return self._rebuild(layer)
    if is_registered(layer):
      return replace_registered(layer, self._norm_act, self._layer)
    return clone_layer(layer)

  def _rebuild(self, model: tf_keras.Model) -> tf_keras.Model:
    """Calls the new layers in the order and the way of the old ones."""
    tensors = {}

    def translate(structure):
      return tf.nest.map_structure(lambda value: tensors.get(id(value), value), structure)

    for node in graph_nodes(model):
      if id(node) in self._dropped:
        outputs = translate(node.keras_inputs[0])
      elif node.is_input:
        outputs = self._layer(node.layer).output
      else:
        args, kwargs = translate((node.call_args, node.call_kwargs))
        outputs = self._layer(node.layer)(*args, **kwargs)
      tensors.update(zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs)))
    converted = tf_keras.Model(translate(model.input), translate(model.output), name=model.name)
    converted._trainable = model._trainable  # each layer has its own already
    if isinstance(model, tf_keras.Sequential):
      converted.input_spec = model.input_spec  # one that found its input's shape at its first call takes any other
    if hasattr(model, 'output_specs'):
      converted.output_specs = model.output_specs
    return converted
