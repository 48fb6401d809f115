"""convert_norm_act: puts norm-activation layers into a functional model built with batch normalization.

A batch normalization whose output goes into an activation, and nowhere else, becomes the fused layer, and the
activation is removed. Every other one becomes the affine form: an EvoNorm replaces a normalization together with its
activation, and where a network normalizes without activating, γ and β remain.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
from typing import Any

from absl import logging
import tensorflow as tf
import tf_keras

from evonorm_tf.conversion import keras_internals
from evonorm_tf.conversion import model_garden_blocks  # noqa: F401  # fills the registry
from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.block_registry import is_assembly
from evonorm_tf.conversion.block_registry import is_registered
from evonorm_tf.conversion.block_registry import replace_registered
from evonorm_tf.conversion.model_graph import all_nodes
from evonorm_tf.conversion.model_graph import find_readers
from evonorm_tf.conversion.model_graph import is_fused
from evonorm_tf.conversion.model_graph import layer_paths
from evonorm_tf.conversion.model_graph import Reader
from evonorm_tf.conversion.replacement import BATCH_NORMALIZATIONS
from evonorm_tf.conversion.replacement import carry_weights
from evonorm_tf.conversion.replacement import check_channels_last
from evonorm_tf.conversion.replacement import clone_layer
from evonorm_tf.conversion.replacement import has_batch_norm
from evonorm_tf.conversion.replacement import replace_norm
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.layers.norm_act import NormAct

Readers = Mapping[tf_keras.layers.Layer, Sequence[Reader]]  # of the batch normalizations


@dataclasses.dataclass(frozen=True)
class ConversionPlan:
  """The layers that a conversion replaces and leaves, by path; a layer of a model in the model is "inner/layer".

  Attributes:
    fused: the batch normalizations that become fused layers, each with the activations that it absorbs.
    affine: the batch normalizations that become affine forms.
    blocks: the layers of registered classes, which are replaced as wholes.
    left: the activation layers that stay, because no batch normalization feeds them or they are gates or outputs.
  """
  fused: dict[str, tuple[str, ...]]
  affine: tuple[str, ...]
  blocks: tuple[str, ...]
  left: tuple[str, ...]

  def __str__(self) -> str:
    fused = (f'{norm} + {" + ".join(activations)}' for norm, activations in self.fused.items())
    parts = {'fused': tuple(fused), 'affine': self.affine, 'blocks': self.blocks, 'activations left': self.left}
    return '\n'.join(f'{part} ({len(names)}): {", ".join(names) or "none"}' for part, names in parts.items())


def convert_norm_act(model: tf_keras.layers.Layer, norm_act: str | os.PathLike | LayerGraph | NormAct
                     ) -> tf_keras.layers.Layer:
  """Returns a new model in which norm-activation layers replace batch normalizations and their activations.

  The new layer has the name, the dtype and `trainable` of the batch normalization. All other layers are copied, with
  their names, weights and configuration; a shared layer stays shared. Fused activations are removed; if one is an
  output of the model, that output is named after the normalization. The plan is logged at INFO; `plan_conversion`
  returns it.

  "bn_relu" and "bn_silu" take over the options (unless the factory sets them) and all weights of a batch
  normalization: "bn_relu" gives a ReLU network's own outputs, in training and inference. Any other layer is another
  function: it starts fresh, from the initializers, regularizers and constraints of the normalization's γ and β.

  Activations are recognized by name; hard swish, SiLU and Mish also where they are spelt out in arithmetic, such as the
  x·ReLU6(x + 3)/6 of keras.applications' MobileNetV3. Any other that is spelt out does not count as an activation: it
  stays, and its normalization becomes the affine form. Read the plan.

  The new model is a plain `tf_keras.Model`, whatever the class of the old functional one (its `output_specs`, which
  Model Garden's backbones and decoders have, is kept), and not compiled. With replaced blocks of Model Garden it can be
  saved by its weights or in a checkpoint, but not as a whole, because the configuration of the blocks does not hold the
  norm-activation layer. To restore such a checkpoint, first convert a model of the same architecture, called or not.

  Of the TF Model Garden (official.vision.modeling), the converter knows all 2-D and 3-D backbones and decoders, the
  heads, and whole `MaskRCNNModel`s, `RetinaNetModel`s and `SegmentationModel`s, which keep their class. ASPP decoders
  and mask scoring heads must have been called, because they make their parts only then. A layer of any other class
  that hides a batch normalization is refused, unless `register_block` or `register_assembly` says how to replace it.

  Args:
    model: a functional (or built Sequential) model, with the models in it; or a layer or model of a registered class,
      such as a head or a detector of Model Garden, called or not. It is left as it is.
    norm_act: a name, a file or a layer graph as `get_norm_act` takes it, its factory, or any callable that returns a
      fresh layer for `norm_act(nonlinearity=..., name=..., dtype=...)`.

  Raises:
    ValueError: see `plan_conversion`; or if a registered layer must be called first.
  """
  norm_act = norm_act if callable(norm_act) else get_norm_act(norm_act)
  logging.info('Conversion of %s:\n%s', model.name, plan_conversion(model))
  return _Conversion(norm_act, find_readers(model)).run(model)


def plan_conversion(model: tf_keras.layers.Layer) -> ConversionPlan:
  """Returns the plan by which `convert_norm_act` would convert the model.

  Args:
    model: see `convert_norm_act`.

  Raises:
    ValueError: if the model is neither functional and built nor of a registered class; if a batch normalization is
      read by an activation and by something else, be it another activation's function or the model's output; if it
      normalizes another axis than the last; if a layer of an unregistered class hides a batch normalization; if a
      loss or a metric was added to the graph.
  """
  if not keras_internals.is_graph(model) and not is_registered(model):
    raise ArgumentError('`model` must be a built functional model, or a layer of a class that `register_block` or '
                        f'`register_assembly` knows, received {type(model).__name__} {model.name!r}.')
  if not keras_internals.is_graph(model) and not is_assembly(model):
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


def _fused_nodes(readers: Readers) -> set[int]:
  """Returns the ids of the nodes that fused layers absorb."""
  return {id(node) for found in readers.values() if is_fused(found) for reader in found for node in reader.nodes}


def _check_layer(layer: tf_keras.layers.Layer, path: str, readers: Readers) -> None:
  """Raises ValueError for a layer that cannot be converted; see `plan_conversion`."""
  if layer in readers:
    check_channels_last(layer)
    if len({reader.function for reader in readers[layer]}) > 1:
      kinds = ', '.join(sorted(set(map(str, readers[layer]))))
      raise ArgumentError(f'Layer {path!r} is read by consumers of different kinds ({kinds}): neither the fused layer '
                          'nor the affine form would keep its meaning.')
  elif type(layer).__name__ in ('AddLoss', 'AddMetric'):
    raise ArgumentError(f'Layer {path!r} comes from `add_loss` or `add_metric`, which a conversion would lose: add the '
                        'loss or metric after the conversion.')
  elif has_batch_norm(layer) and not keras_internals.is_graph(layer) and not is_registered(layer):
    raise ArgumentError(f'Layer {path!r} of class {type(layer).__name__} hides a batch normalization: register how to '
                        'replace it by `evonorm_tf.register_block`.')


class _Conversion:
  """One conversion. It remembers the new layer of each old one, so that a shared layer is made once."""

  def __init__(self, norm_act: NormAct, readers: Readers):
    self._norm_act = norm_act
    self._fused = {bn for bn, found in readers.items() if is_fused(found)}
    self._dropped = _fused_nodes(readers)
    self._made: dict[tf_keras.layers.Layer, tf_keras.layers.Layer] = {}

  def run(self, model: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """Returns the converted model with its weights."""
    converted = self._layer(model)
    for old, new in self._made.items():
      if not keras_internals.is_graph(old) and not is_assembly(old):  # whose parts are carried over one by one
        carry_weights(old, new)
    return converted

  def _layer(self, layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """Returns the replacement of a layer or model, made on first use; its weights are not carried over yet."""
    if layer not in self._made:
      self._made[layer] = self._make(layer)
    return self._made[layer]

  def _make(self, layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    if isinstance(layer, BATCH_NORMALIZATIONS):
      return replace_norm(layer, self._norm_act, nonlinearity=layer in self._fused)
    if keras_internals.is_graph(layer):
      return self._rebuild(layer)
    if is_registered(layer):
      return replace_registered(layer, self._norm_act, self._layer)
    return clone_layer(layer)

  def _rebuild(self, model: tf_keras.Model) -> tf_keras.Model:
    """Returns a model that calls the new layers as the old one calls the old layers."""
    tensors: dict[int, Any] = {}

    def translate(structure: Any) -> Any:
      return tf.nest.map_structure(lambda value: tensors.get(id(value), value), structure)

    for node in keras_internals.graph_nodes(model):
      if id(node) in self._dropped:
        outputs = translate(node.keras_inputs[0])
      elif node.is_input:
        outputs = self._layer(node.layer).output
      else:
        args, kwargs = translate((node.call_args, node.call_kwargs))
        outputs = self._layer(node.layer)(*args, **kwargs)
      tensors.update(zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs)))
    converted = tf_keras.Model(translate(model.input), translate(model.output), name=model.name)
    keras_internals.copy_own_trainable(model, converted)  # each layer has its own already
    if isinstance(model, tf_keras.Sequential):
      converted.input_spec = model.input_spec  # a model that found its input's shape at its first call takes any other
    if hasattr(model, 'output_specs'):
      converted.output_specs = model.output_specs
    return converted
