"""What a trainer has to know of prepared data: where they are, how many, and the names of the categories."""

import dataclasses
import json
import pathlib

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import check_settings
from evonorm_tf.output.model_dir import write_json

_FILE = 'data_info.json'


@dataclasses.dataclass(frozen=True)
class DataInfo:
  """A folder of prepared data.

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
    """Model Garden's: the largest id and the background, 0. Ids may have gaps: COCO's 80 categories make 91 classes."""
    return max(self.category_names) + 1


def is_prepared(folder) -> bool:
  """Whether a preparation has come to its end there."""
  return (pathlib.Path(folder) / _FILE).exists()


def read_data_info(folder) -> DataInfo:
  """Reads what `write_data_info` has written.

  Raises:
    ValueError: if the folder holds no prepared data, or not all of them.
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


def write_data_info(folder, records: list[str], pattern: str, annotation_file: str, num_examples: int,
                    category_names: dict[int, str]) -> None:
  """Writes what `read_data_info` reads, which tells that the folder is complete.

  Args:
    folder: where the data are.
    records: names of the TFRecord files in it.
    pattern: a glob of these names.
    annotation_file: name of the annotation file in it.
    num_examples: the number of images.
    category_names: by id.
  """
  data = {'num_examples': num_examples, 'category_names': category_names, 'annotation_file': annotation_file,
          'pattern': pattern, 'records': records}
  write_json(pathlib.Path(folder) / _FILE, data, indent=2, end='\n')


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
    raise ArgumentError(f"`{argument}` must be a new or empty folder, or that of the same {work}; '{folder}' holds "
                        f"'{others[0]}'.")
  write_json(folder / name, settings, end='\n')
