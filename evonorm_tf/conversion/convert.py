"""`convert_norm_act`, which replaces the batch normalizations of a model by norm-activation layers.

Models may be of tf_keras or Keras 3; the new layers are of the same.

If the output of a batch normalization goes only into an activation (or into several equal ones), a fused layer, which
normalizes and activates, replaces both. The affine form, γ and β alone, replaces every other batch normalization: an
EvoNorm stands for a normalization together with its activation, and where a network normalizes without activating, γ
and β remain.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import importlib
import os

from absl import logging

from evonorm_tf.conversion.activations import function_name
from evonorm_tf.conversion.block_registry import is_assembly
from evonorm_tf.conversion.block_registry import is_registered
from evonorm_tf.conversion.block_registry import replace_registered
from evonorm_tf.conversion.internals import internals_of
from evonorm_tf.conversion.model_graph import all_nodes
from evonorm_tf.conversion.model_graph import find_readers
from evonorm_tf.conversion.model_graph import is_fused
from evonorm_tf.conversion.model_graph import layer_paths
from evonorm_tf.conversion.model_graph import Reader
from evonorm_tf.conversion.model_graph import rebuild
from evonorm_tf.conversion.replacement import carry_weights
from evonorm_tf.conversion.replacement import check_channels_last
from evonorm_tf.conversion.replacement import clone_layer
from evonorm_tf.conversion.replacement import has_batch_norm
from evonorm_tf.conversion.replacement import is_batch_norm
from evonorm_tf.conversion.replacement import Layer
from evonorm_tf.conversion.replacement import replace_norm
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.registry import factory_for
from evonorm_tf.layers.registry import NormAct
from evonorm_tf.layers.which_keras import check_recompute
from evonorm_tf.layers.which_keras import KERAS_2
from evonorm_tf.layers.which_keras import KERAS_3
from evonorm_tf.layers.which_keras import keras_name
from evonorm_tf.layers.which_keras import NAMES
from evonorm_tf.layers.which_keras import PACKAGES

Readers = Mapping[Layer, Sequence[Reader]]  # batch normalization -> the consumers of its output


@dataclasses.dataclass(frozen=True)
class ConversionPlan:
  """The layers that a conversion replaces and those it leaves, by path; a layer within an inner model is "inner/layer".

  Attributes:
    fused: the batch normalizations that become fused layers, each with the activations that its fused layer replaces.
    affine: the batch normalizations that become affine forms.
    blocks: the layers of classes that `register_block` has registered; each is replaced as a whole.
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


def convert_norm_act(model: Layer, norm_act: str | os.PathLike | LayerGraph | NormAct, recompute: bool = False
                     ) -> Layer:
  """Returns a new model in which norm-activation layers replace batch normalizations and their activations.

  Each new layer has the name, the dtype and `trainable` of the batch normalization. All other layers are copied, with
  their names, weights and configuration; a shared layer stays shared. Fused activations are removed; if one is an
  output of the model, that output is named after the normalization. The plan is logged at INFO; `plan_conversion`
  returns it.

  "bn_relu" and "bn_silu" take over all weights of a batch normalization, and those of its options that the factory does
  not set: "bn_relu" reproduces the outputs of a ReLU network, in training and inference. Any other layer computes
  another function and starts with fresh weights; a factory of `get_norm_act` gives it only the initializers,
  regularizers and constraints of γ and β, and `synchronized`.

  Activations are recognized by name. Hard swish, SiLU and Mish are also recognized where the model spells them out in
  arithmetic, such as x·ReLU6(x + 3)/6 in keras.applications' MobileNetV3. Other functions that are spelt out do not
  count as activations: they stay, and their normalizations become affine forms. Read the plan.

  The new model is a plain `Model` of its Keras, whatever the class of the old functional one, and not compiled. It
  keeps an attribute `output_specs`, which Model Garden's backbones and decoders have. A model with replaced blocks of
  Model Garden can be saved as weights or as a checkpoint, but not as a whole, because the configuration of the blocks
  does not hold the norm-activation layer. To restore such a checkpoint, first convert a model of the same architecture,
  called or not.

  In the TF Model Garden (official.vision.modeling), the converter knows all 2-D and 3-D backbones and decoders, the
  heads, and whole `MaskRCNNModel`s, `RetinaNetModel`s and `SegmentationModel`s, which keep their class. ASPP decoders
  and mask scoring heads must have been called, because only then do they make their parts. A layer of any other class
  that contains a batch normalization is refused, unless `register_block` or `register_assembly` says how to replace it.

  Args:
    model: a functional or built Sequential model, which may contain other models; or a layer or model of a registered
      class, such as a head or a detector of Model Garden, called or not. It is left unchanged.
    norm_act: the new layer: a name, a layer graph's file or a `LayerGraph`, as `get_norm_act` takes it; a factory that
      `get_norm_act` returned; or any callable that returns a fresh layer for
      `norm_act(nonlinearity=..., name=..., dtype=...)`.
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them
      (default False): less memory for a longer step, in tf_keras only; see `layers.recomputed`. It reaches the
      convolutions that the model has: call the heads of Model Garden first, which make theirs when they are called.

  Returns:
    The new model or layer.

  Raises:
    ValueError: if the model cannot be converted, for the reasons that `plan_conversion` lists; if a layer of a
      registered class must be called first; if `norm_act` is a name or file that `get_norm_act` refuses; or if
      `recompute` is true with other layers than EvoNorms of tf_keras.
  """
  check_recompute(model, recompute)
  plan = plan_conversion(model)
  norm_act = _factory(norm_act, model)
  logging.info('Conversion of %s:\n%s', model.name, plan)
  if not (plan.fused or plan.affine or plan.blocks):
    logging.warning('Model %s has no batch normalization: nothing is replaced.', model.name)
  converted = _Conversion(norm_act, find_readers(model)).run(model)
  if recompute:
    importlib.import_module('evonorm_tf.layers.recomputed').recompute_norm_acts(converted)
  return converted


def _factory(norm_act: str | os.PathLike | LayerGraph | NormAct, model: Layer) -> NormAct:
  """Returns the factory of the new layers, which must be of the model's Keras."""
  own = keras_name(model)
  norm_act = factory_for(norm_act, own)
  theirs = keras_name(getattr(norm_act, 'layer_class', None))
  if theirs not in (None, own):
    raise ArgumentError(f'`norm_act` must make layers of {NAMES[own]}, of which {model.name!r} is, received one of '
                        f'{NAMES[theirs]}: use `{PACKAGES[own]}.get_norm_act`.')
  return norm_act


def plan_conversion(model: Layer) -> ConversionPlan:
  """Returns the plan by which `convert_norm_act` would convert a model.

  Args:
    model: a functional or built Sequential model, or a layer or model of a registered class.

  Raises:
    ValueError: if the model is neither; if a batch normalization's output goes into an activation and also into another
      layer, another activation or the model's output; if a batch normalization normalizes another axis than the last;
      if a layer of a class that is not registered contains a batch normalization; or if a loss or a metric was added to
      the model by `add_loss` or `add_metric`.
  """
  internals = internals_of(model)
  if keras_name(model) != KERAS_3:
    importlib.import_module('evonorm_tf.conversion.model_garden_blocks')  # fills the registry
  if not internals.is_graph(model) and not is_registered(model):
    raise ArgumentError('`model` must be a functional model, a Sequential one that has been built, or a layer of a '
                        'class that `register_block` or `register_assembly` knows, received '
                        f'{type(model).__name__} {model.name!r}.')
  if not internals.is_graph(model) and not is_assembly(model):
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
  """Returns the ids of the nodes (calls of layers) that fused layers replace."""
  return {id(node) for found in readers.values() if is_fused(found) for reader in found for node in reader.nodes}


def _check_layer(layer: Layer, path: str, readers: Readers) -> None:
  """Raises ValueError if a layer cannot be converted; `plan_conversion` lists the reasons."""
  if layer in readers:
    check_channels_last(layer)
    if len({reader.function for reader in readers[layer]}) > 1:
      kinds = ', '.join(sorted(set(map(str, readers[layer]))))
      raise ArgumentError(f'Layer {path!r} is read by consumers of different kinds ({kinds}): neither the fused layer '
                          'nor the affine form would keep its meaning.')
  elif type(layer).__name__ in ('AddLoss', 'AddMetric'):
    raise ArgumentError(f'Layer {path!r} comes from `add_loss` or `add_metric`, which a conversion would lose: add the '
                        'loss or metric after the conversion.')
  elif has_batch_norm(layer) and not internals_of(layer).is_graph(layer) and not is_registered(layer):
    raise ArgumentError(f'Layer {path!r} of class {type(layer).__name__} hides a batch normalization: register how to '
                        f'replace it by `{PACKAGES[keras_name(layer) or KERAS_2]}.register_block`.')


class _Conversion:
  """One conversion of a model. It remembers the new layer of each old one, so that a shared layer stays shared."""

  def __init__(self, norm_act: NormAct, readers: Readers):
    self._norm_act = norm_act
    self._fused = {bn for bn, found in readers.items() if is_fused(found)}
    self._dropped = _fused_nodes(readers)
    self._made: dict[Layer, Layer] = {}

  def run(self, model: Layer) -> Layer:
    """Returns the converted model, with the weights that it takes over."""
    converted = self._layer(model)
    for old, new in self._made.items():
      # The weights of the parts of graphs and assemblies are copied one by one.
      if not internals_of(old).is_graph(old) and not is_assembly(old):
        carry_weights(old, new)
    return converted

  def _layer(self, layer: Layer) -> Layer:
    """Returns the replacement of a layer or model, made on first use; its weights are not yet copied."""
    if layer not in self._made:
      self._made[layer] = self._make(layer)
    return self._made[layer]

  def _make(self, layer: Layer) -> Layer:
    if is_batch_norm(layer):
      return replace_norm(layer, self._norm_act, nonlinearity=layer in self._fused)
    if internals_of(layer).is_graph(layer):
      return rebuild(layer, self._layer, self._dropped)
    if is_registered(layer):
      return replace_registered(layer, self._norm_act, self._layer)
    return clone_layer(layer)
