"""Initialization of a detector's backbone from a classifier's checkpoint."""

import collections
import json
import os
import pathlib
from typing import Any

import tensorflow as tf
import tf_keras

from evonorm_tf.checks import check_plain_paths
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.baselines import BaselineLayer
from evonorm_tf.layers.keras2 import NormActLayer
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.training import model_settings
from evonorm_tf.training.checkpoint_files import newest_readable

# The constructor arguments that make two layers of one class different functions of input and weights.
_FUNCTION_OPTIONS = ('activation', 'groups', 'epsilon', 'graph')
# The number of layers with weights in a classifier's head: the head convolution and its norm-activation layer.
_HEAD_LAYERS = 2


def initialize_backbone(model: tf_keras.Model, checkpoint_folder: str | os.PathLike) -> str:
  """Restores every variable of `model.backbone` from the newest checkpoint of a classifier that can be read.

  The checkpoint must contain the classifier's backbone under the name `backbone`. Those of `evonorm_tf.train` and of
  Model Garden's classification task do. If the backbone is one of Model Garden's, both models must have been converted
  by `convert_norm_act` with the same layer, because conversion changes the places of variables in a checkpoint.

  If the classifier's training kept a moving average of the weights, the current weights are restored. The averages,
  which the checkpoint stores with the optimizer, are not used. The head convolution of MobileNetV2, which only
  classifiers use, is left out.

  Args:
    model: a detector whose weights exist already, such as the result of `build_mask_rcnn`. They are overwritten.
    checkpoint_folder: the path of a training run's model directory, or of the folder best/ in it.

  Returns:
    The path of the checkpoint.

  Raises:
    ArgumentError: if there is no checkpoint that can be read, or if its backbone or its norm-activation layer is
      another one. The layer is identified by the settings that `evonorm_tf.train` records beside its checkpoints or, if
      there are none, by the number of its variables.
  """
  check_plain_paths(checkpoint_folder=str(checkpoint_folder))
  path = newest_readable(str(checkpoint_folder))
  if not path:
    raise ArgumentError(
        f"`checkpoint_folder` must hold a classifier's checkpoint, found none in '{checkpoint_folder}'.")
  _check_norm_act(model.backbone, pathlib.Path(checkpoint_folder))
  _check_variables(model.backbone, path)
  try:
    status = tf.train.Checkpoint(backbone=model.backbone).read(path)
    status.expect_partial().assert_existing_objects_matched()
  except (AssertionError, ValueError) as e:  # a variable is missing, or has another shape
    raise ArgumentError(f"The checkpoint '{path}' is of another backbone: {e}") from e
  return path


def _check_norm_act(backbone: tf_keras.Model, folder: pathlib.Path) -> None:
  """Raises ArgumentError if the classifier's recorded settings name another layer than the one in the backbone."""
  files = [path for path in (folder / model_settings.FILE, folder.parent / model_settings.FILE) if path.exists()]
  settings = json.loads(files[0].read_text(encoding='utf-8')) if files else {}
  for recorded in settings.values():
    if isinstance(recorded, dict) and 'norm_act' in recorded:
      spec = recorded['norm_act']
      spec = LayerGraph.from_dict(spec) if isinstance(spec, dict) else spec
      trained = _function_of(get_norm_act(spec, **recorded['norm_act_options'])())
      found = [_function_of(layer) for layer in backbone.submodules
               if isinstance(layer, (NormActLayer, BaselineLayer)) and layer.nonlinearity]
      if any(function != trained for function in found):
        raise ArgumentError(f"The classifier in '{folder}' was trained with the layer {trained}, the backbone "
                            f'{backbone.name!r} has {found[0]}.')


def _function_of(layer: tf_keras.layers.Layer) -> tuple[str, dict[str, Any]]:
  config = layer.get_config()
  return type(layer).__name__, {name: config[name] for name in _FUNCTION_OPTIONS if name in config}


def _check_variables(backbone: tf_keras.Model, path: str) -> None:
  """Raises ArgumentError unless the checkpoint's layers have the same numbers of variables as the backbone's.

  Restoring reads only the variables that exist in the model. It would skip the moving variance of EvoNorm-B0 and read
  its other variables into EvoNorm-S0.
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
