"""What a model directory was made with, so that a checkpoint of another model or layer is refused by name."""

import json
import os
import pathlib

import tensorflow as tf

FILE = 'model_settings.json'


def check(model_dir, settings: dict) -> None:
  """Compares settings with those of an existing model directory.

  Args:
    model_dir: a folder with checkpoints, or one that `record` was called for.
    settings: of the model, JSON's types, nested as you like.

  Raises:
    ValueError: if the directory holds another model; the message names the settings that differ.
  """
  path = pathlib.Path(model_dir) / FILE
  try:
    recorded = json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError as e:
    raise ValueError(f"`model_dir` '{model_dir}' holds checkpoints, but no {FILE} that tells of which model.") from e
  except ValueError as e:
    raise ValueError(f"'{path}' is not readable as JSON ({e}): it was not written by this program.") from e
  differences = list(_differences(recorded, json.loads(json.dumps(settings)), ''))
  if differences:
    raise ValueError(f"`model_dir` '{model_dir}' holds the checkpoints of another model: {'; '.join(differences)}. "
                     'Choose another folder, or go back to its settings.')


def check_or_record(model_dir, settings: dict) -> None:
  """As `check`; a directory without checkpoints and settings is made and gets these."""
  path = pathlib.Path(model_dir) / FILE
  if path.exists() or tf.train.latest_checkpoint(model_dir):
    check(model_dir, settings)
  else:
    os.makedirs(model_dir, exist_ok=True)
    write_json(path, settings)


def write_json(path, data) -> None:
  """Writes JSON such that the file is complete whenever the process ends."""
  temporary = pathlib.Path(path).with_suffix('.tmp')
  with open(temporary, 'w', encoding='utf-8') as file:
    json.dump(data, file, indent=1)
    file.flush()
    os.fsync(file.fileno())
  os.replace(temporary, path)


def _differences(recorded, settings, path: str):
  """Yields a description of each setting that differs."""
  if isinstance(recorded, dict) and isinstance(settings, dict):
    for key in sorted(recorded.keys() | settings.keys()):
      yield from _differences(recorded.get(key), settings.get(key), f'{path}.{key}'.lstrip('.'))
  elif recorded != settings:
    yield f'{path} was {recorded!r} and is {settings!r}'
