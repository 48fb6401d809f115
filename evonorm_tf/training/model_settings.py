"""A file in the model directory that records the model's settings, so that other models' checkpoints are refused."""

import json
import os
import pathlib
from typing import Any

from evonorm_tf.output.model_dir import check_settings
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.model_dir import write_json
from evonorm_tf.training.checkpoint_files import find_checkpoints

FILE = 'model_settings.json'


def check(model_dir: str | os.PathLike, settings: dict[str, Any]) -> None:
  """Compares a model's settings with those recorded in a model directory.

  Args:
    model_dir: the path of the model directory.
    settings: the settings on which a checkpoint depends, JSON data; see `Experiment.model_settings`.

  Raises:
    ModelDirError: if the settings differ, in which case the message names them, or if the directory has no readable
      record.
  """
  path = pathlib.Path(model_dir) / FILE
  try:
    recorded = json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError as e:
    raise ModelDirError(f"`model_dir` '{model_dir}' holds checkpoints, but no {FILE} that names their model.") from e
  except ValueError as e:
    raise ModelDirError(f"'{path}' is not readable as JSON ({e}): it was not written by this program.") from e
  check_settings(path, recorded, settings, 'model')


def check_or_record(model_dir: str | os.PathLike, settings: dict[str, Any]) -> None:
  """Records a model's settings in a new model directory, or calls `check` for an existing one.

  Args:
    model_dir: the path of the model directory; it is made if necessary. It counts as new if it contains neither
      settings nor checkpoints.
    settings: the settings on which a checkpoint depends, JSON data; see `Experiment.model_settings`.

  Raises:
    ModelDirError: if an existing directory has other settings or no readable record.
  """
  path = pathlib.Path(model_dir) / FILE
  if path.exists() or find_checkpoints(str(model_dir)):
    check(model_dir, settings)
  else:
    os.makedirs(model_dir, exist_ok=True)
    write_json(path, settings, indent=1)
