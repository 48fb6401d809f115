"""A folder that one preparation of data fills: nothing else is in it, and another start must have the same settings."""

import json
import pathlib

from evonorm_tf.output.model_dir import check_settings
from evonorm_tf.output.model_dir import write_json

LOCK = '.lock'


def has_settings(folder, name: str, settings: dict, work: str, argument: str) -> bool:
  """Whether an earlier start has claimed the folder.

  Args:
    folder: the folder.
    name: of the file with the settings, such as 'settings.json'.
    settings: of this start, JSON data.
    work: what is done, such as 'conversion'.
    argument: what the user calls the folder.

  Raises:
    ValueError: if the settings there are others.
  """
  path = pathlib.Path(folder) / name
  if path.exists():
    check_settings(path, json.loads(path.read_text()), settings, work, argument)
  return path.exists()


def claim(folder, name: str, settings: dict, work: str, argument: str) -> None:
  """Writes the settings into a new or empty folder, in which only the locked file may be; checks those of another.

  Args and Raises as `has_settings`; ValueError also if the folder holds something else.
  """
  folder = pathlib.Path(folder)
  if has_settings(folder, name, settings, work, argument):
    return
  others = sorted(entry.name for entry in folder.iterdir() if entry.name not in (LOCK, f'.{name}.tmp'))
  if others:
    raise ValueError(f"`{argument}` must be a new or empty folder, or that of the same {work}; '{folder}' holds "
                     f"'{others[0]}'.")
  write_json(folder / name, settings, end='\n')
