"""A folder of prepared data: the claim of one preparation to it, and the description that a trainer reads.

A preparation locks the folder and claims it by its settings, so that nothing else is in the folder and another start
must have the same settings. Its last act is to write data_info.json, which marks the folder as complete.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
from typing import Any

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import check_settings
from evonorm_tf.output.model_dir import write_json

LOCK = '.lock'
_FILE = 'data_info.json'


@dataclasses.dataclass(frozen=True)
class DataInfo:
  """The description of a folder of prepared data.

  Attributes:
    records: a glob of TFRecord files, Model Garden's `input_path`.
    annotation_file: COCO's annotations of exactly the images in the records, Model Garden's `annotation_file`.
    num_examples: the number of images.
    category_names: by id, from 1 on.
  """
  records: str
  annotation_file: str
  num_examples: int
  category_names: dict[int, str]

  @property
  def num_classes(self) -> int:
    """The largest id and one for the background, 0, as in Model Garden. COCO's 80 categories, with gaps, make 91."""
    return max(self.category_names) + 1


def has_settings(folder: str | os.PathLike, name: str, settings: Mapping[str, Any], work: str, argument: str) -> bool:
  """Returns whether an earlier start has claimed the folder.

  Args:
    folder: the folder.
    name: of the file with the settings, such as 'settings.json'.
    settings: of this start, JSON data.
    work: what is done, such as 'conversion', for messages.
    argument: the name under which the user gave the folder, for messages.

  Raises:
    ArgumentError: if the settings there differ.
  """
  path = pathlib.Path(folder) / name
  if path.exists():
    check_settings(path, json.loads(path.read_text()), settings, work, argument)
  return path.exists()


def claim(folder: str | os.PathLike, name: str, settings: Mapping[str, Any], work: str, argument: str) -> None:
  """Writes the settings into a new or empty folder, which may contain only the locked file.

  A folder that is claimed already is checked for the same settings. Arguments as for `has_settings`.

  Raises:
    ArgumentError: if the settings there differ, or the folder holds anything else.
  """
  folder = pathlib.Path(folder)
  if has_settings(folder, name, settings, work, argument):
    return
  others = sorted(entry.name for entry in folder.iterdir() if entry.name not in (LOCK, f'.{name}.tmp'))
  if others:
    raise ArgumentError(f"`{argument}` must be a new or empty folder, or that of the same {work}; '{folder}' holds "
                        f"'{others[0]}'.")
  write_json(folder / name, settings, end='\n')


def is_prepared(folder: str | os.PathLike) -> bool:
  """Returns whether a preparation of the folder has finished."""
  return (pathlib.Path(folder) / _FILE).exists()


def write_data_info(folder: str | os.PathLike, records: Sequence[str], pattern: str, annotation_file: str,
                    num_examples: int, category_names: Mapping[int, str]) -> None:
  """Writes the description that `read_data_info` reads, which marks the folder as complete.

  Args:
    folder: contains the data.
    records: names of the TFRecord files in it.
    pattern: a glob of these names.
    annotation_file: name of the annotation file in it.
    num_examples: the number of images.
    category_names: by id.
  """
  data = {'num_examples': num_examples, 'category_names': category_names, 'annotation_file': annotation_file,
          'pattern': pattern, 'records': records}
  write_json(pathlib.Path(folder) / _FILE, data, indent=2, end='\n')


def read_data_info(folder: str | os.PathLike) -> DataInfo:
  """Reads the description of a folder; its paths are those of the folder as it is named now.

  Raises:
    ArgumentError: if the folder holds no prepared data, or is not complete.
  """
  folder = pathlib.Path(folder)
  try:
    data = json.loads((folder / _FILE).read_text())
    files = [folder / name for name in (*data['records'], data['annotation_file'])]
    names = {int(number): name for number, name in data['category_names'].items()}
    info = DataInfo(str(folder / data['pattern']), str(files[-1]), data['num_examples'], names)
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
    raise ArgumentError(f"'{folder}' must be a folder that `python -m detection.prepare` has prepared to the end: "
                        f'{type(e).__name__}: {e}') from e
  absent = [path for path in files if not path.exists()]
  if absent:
    raise ArgumentError(f"'{folder}' is not complete: '{absent[0]}' is missing, {len(absent)} files in all. Remove the "
                        'folder and prepare it again.')
  return info
