"""What a model directory was made with, so that a checkpoint of another model or layer is refused by name."""

import json
import os
import pathlib

FILE = 'model_settings.json'


def check_or_record(model_dir, settings: dict) -> None:
  """Records the settings of a new model directory, or compares them with those of an old one.

  Args:
    model_dir: an existing folder.
    settings: of the model, JSON's types, nested as you like.

  Raises:
    ValueError: if the directory holds another model; the message names the settings that differ.
  """
  path = pathlib.Path(model_dir) / FILE
  settings = json.loads(json.dumps(settings))
  if not path.exists():
    temporary = path.with_suffix('.tmp')
    with open(temporary, 'w', encoding='utf-8') as file:
      json.dump(settings, file, indent=1)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
    return
  try:
    recorded = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as e:
    raise ValueError(f"'{path}' is not readable as JSON ({e}): it was not written by this program.") from e
  differences = list(_differences(recorded, settings, ''))
  if differences:
    raise ValueError(f"`model_dir` '{model_dir}' holds the checkpoints of another model: {'; '.join(differences)}. "
                     'Choose another folder, or go back to its settings.')


def _differences(recorded, settings, path: str):
  """Yields a description of each setting that differs."""
  if isinstance(recorded, dict) and isinstance(settings, dict):
    for key in sorted(recorded.keys() | settings.keys()):
      yield from _differences(recorded.get(key), settings.get(key), f'{path}.{key}'.lstrip('.'))
  elif recorded != settings:
    yield f'{path} was {recorded!r} and is {settings!r}'
