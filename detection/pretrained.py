"""A classifier's checkpoint as the initial values of a detector's backbone."""

import collections
import json
import pathlib

import tensorflow as tf
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.baselines import BaselineLayer
from evonorm_tf.layers.keras2 import NormActLayer
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.training import model_settings

# What makes two layers of one class different functions of their inputs and weights.
_FUNCTION_OPTIONS = ('activation', 'groups', 'epsilon', 'graph')
# With weights, of a network with a head convolution: that and its norm-activation layer.
_HEAD_LAYERS = 2


def initialize_backbone(model: tf_keras.Model, checkpoint_folder) -> str:
  """Reads the newest checkpoint of a classifier into `model.backbone`, every variable of it.

  The checkpoint has the classifier's backbone under the name `backbone`, as those of `evonorm_tf.train` and of Model
  Garden's classification task have. A backbone of Model Garden must have been converted by `convert_norm_act` in both
  models, with the same layer, for conversion changes where variables lie in a checkpoint.

  Of a training with a moving average of the weights these are the weights themselves and not their averages, which
  lie with the optimizer. What only the classifier reads (the head convolution of MobileNetV2) is left out.

  Args:
    model: a detector that has made its weights, as `build_mask_rcnn` returns it.
    checkpoint_folder: the model directory of a training, or its folder best/.

  Returns:
    The checkpoint's path.

  Raises:
    ValueError: if there is no checkpoint, or not one of this backbone with this norm-activation layer. The layer is
      known from the records of `evonorm_tf.train` and, without these, by its variables.
  """
  path = tf.train.latest_checkpoint(str(checkpoint_folder))
  if not path:
    raise ArgumentError(f"`checkpoint_folder` must hold a classifier's checkpoint, found none in '{checkpoint_folder}'.")
  _check_norm_act(model.backbone, pathlib.Path(checkpoint_folder))
  _check_variables(model.backbone, path)
  try:
    status = tf.train.Checkpoint(backbone=model.backbone).read(path)
    status.expect_partial().assert_existing_objects_matched()
  except (AssertionError, ValueError) as e:  # a variable is missing, or has another shape
    raise ArgumentError(f"The checkpoint '{path}' is of another backbone: {e}") from e
  return path


def _check_norm_act(backbone, folder: pathlib.Path) -> None:
  """Raises ValueError if the training recorded another norm-activation layer than that in the backbone."""
  files = [path for path in (folder / model_settings.FILE, folder.parent / model_settings.FILE) if path.exists()]
  settings = json.loads(files[0].read_text(encoding='utf-8')) if files else {}
  for recorded in settings.values():
    if isinstance(recorded, dict) and 'norm_act' in recorded:
      spec = recorded['norm_act']
      spec = LayerGraph.from_dict(spec) if isinstance(spec, dict) else spec
      trained = _function_of(get_norm_act(spec, **recorded['norm_act_options'])())
      found = [_function_of(layer) for layer in backbone._flatten_layers()
               if isinstance(layer, (NormActLayer, BaselineLayer)) and layer.nonlinearity]
      if any(function != trained for function in found):
        raise ArgumentError(f"The classifier in '{folder}' was trained with the layer {trained}, the backbone "
                            f'{backbone.name!r} has {found[0]}.')


def _function_of(layer: tf_keras.layers.Layer) -> tuple[str, dict]:
  config = layer.get_config()
  return type(layer).__name__, {name: config[name] for name in _FUNCTION_OPTIONS if name in config}


def _check_variables(backbone, path: str) -> None:
  """Raises ValueError if the checkpoint has other layers, or a layer with another number of variables.

  A restoration takes what it asks for: it would leave the moving variance of EvoNorm-B0 and call the rest EvoNorm-S0.
  """
  keys = tf.train.load_checkpoint(path).get_variable_to_shape_map()
  saved = collections.Counter(
      key.split('/')[1] for key in keys if key.startswith('backbone/') and '.OPTIMIZER_SLOT' not in key)
  layers = [layer for layer in backbone.layers if layer.weights]
  for i, layer in enumerate(layers):
    count = saved[f'layer_with_weights-{i}']
    if count != len(layer.weights):
      raise ArgumentError(f"The checkpoint '{path}' is of another backbone: it has {count} variables for layer "
                          f'{layer.name!r}, which has {len(layer.weights)}.')
  found = sum(count > 0 for count in saved.values())
  if found - len(layers) not in (0, _HEAD_LAYERS):
    raise ArgumentError(f"The checkpoint '{path}' is of another backbone: it has {found} layers with weights, "
                        f'{backbone.name!r} has {len(layers)}.')
