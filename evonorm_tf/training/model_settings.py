"""A record of the settings of the model in a model directory; checkpoints of another model or layer are refused."""

import json
import os
import pathlib
from typing import Any

import tensorflow as tf

from evonorm_tf.output.model_dir import check_settings
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.model_dir import write_json

FILE = 'model_settings.json'


def check(model_dir: str | os.PathLike, settings: dict[str, Any]) -> None:
  """Compares settings with those of an existing model directory.

  Args:
    model_dir: a folder with checkpoints, or one that `check_or_record` was called for.
    settings: of the model, JSON data.

  Raises:
    ModelDirError: if the directory holds another model; the message names the settings that differ.
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
  """Does the same as `check`; but a directory without checkpoints and settings is made, and receives the settings."""
  path = pathlib.Path(model_dir) / FILE
  if path.exists() or tf.train.latest_checkpoint(model_dir):
    check(model_dir, settings)
  else:
    os.makedirs(model_dir, exist_ok=True)
    write_json(path, settings, indent=1)
