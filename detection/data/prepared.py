"""Folders of prepared data: their settings, and the description that a trainer reads.

A preparation is a call that fills a folder with data, such as the conversion of COCO to TFRecords; it can be
interrupted and resumed. It locks the folder and claims it: it writes its settings into the folder, which must be empty
at the first start. When it is resumed, the settings must be the same. Its last step is to write data_info.json, which
marks the folder as complete.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import glob
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
  """The description of a prepared set of images for a detector.

  Attributes:
    records: a glob of the TFRecord files, as Python's module `glob` reads it: special characters in the folder's path
      are escaped.
    annotation_file: the path of a JSON file with the annotations of exactly these images in COCO's format; Model
      Garden's setting `annotation_file`.
    num_examples: the number of images.
    category_names: the name of each category by its id, any 64-bit integer.
    category_ids: the id of the category that each label stands for. Labels are the classes in the records and of the
      network: integers from 1 on, because 0 is the background. None (default) for records of version 0.1, whose labels
      are the ids.
    most_objects: the greatest number of objects in an image; None (default) where it was not counted, as in earlier
      releases; `with_most_objects` does.
  """
  records: str
  annotation_file: str
  num_examples: int
  category_names: dict[int, str]
  category_ids: dict[int, int] | None = None
  most_objects: int | None = None

  def __post_init__(self):
    if self.category_ids is None:
      object.__setattr__(self, 'category_ids', {number: number for number in self.category_names})

  @property
  def num_classes(self) -> int:
    """The greatest label plus 1, because class 0 is the background; 81 for COCO."""
    return max(self.category_ids) + 1

  @property
  def class_names(self) -> dict[int, str]:
    """The name of each class by its label."""
    return {label: self.category_names[number] for label, number in self.category_ids.items()}


def with_most_objects(info: DataInfo) -> DataInfo:
  """Returns a description with the greatest number of objects in an image, which is counted where it does not have it.

  Args:
    info: the description of the set.
  """
  if info.most_objects is not None:
    return info
  annotations = json.loads(pathlib.Path(info.annotation_file).read_text()).get('annotations', ())
  numbers = collections.Counter(annotation['image_id'] for annotation in annotations)
  return dataclasses.replace(info, most_objects=max(numbers.values(), default=0))


def category_ids(category_names: Mapping[int, str]) -> dict[int, int]:
  """Returns the id of each label: labels count the ids in ascending order, from 1 on.

  Ids may be large or have gaps, and a network would get a class for each integer below the greatest.

  Args:
    category_names: the name of each category by its id.
  """
  return dict(enumerate(sorted(category_names), start=1))


def has_settings(folder: str | os.PathLike, name: str, settings: Mapping[str, Any], work: str, argument: str) -> bool:
  """Returns whether a folder contains the settings of a preparation, and checks that they are the current ones.

  Args:
    folder: the path of the folder.
    name: the name of the file with the settings, such as 'settings.json'.
    settings: the current settings, JSON data.
    work: a noun for the preparation, such as 'conversion', for the error message.
    argument: the name of the user's argument that gives the folder, such as 'output', for the error message.

  Raises:
    ArgumentError: if the settings in the folder differ from the current ones.
  """
  path = pathlib.Path(folder) / name
  if path.exists():
    check_settings(path, json.loads(path.read_text()), settings, work, argument)
  return path.exists()


def claim(folder: str | os.PathLike, name: str, settings: Mapping[str, Any], work: str, argument: str) -> None:
  """Writes the settings of a preparation into an empty folder, or checks that a claimed folder has the same settings.

  Args:
    folder: the path of an existing folder. It counts as empty if it contains only the lock file `LOCK`.
    name: the name of the file with the settings, such as 'settings.json'.
    settings: the current settings, JSON data.
    work: a noun for the preparation, such as 'conversion', for the error message.
    argument: the name of the user's argument that gives the folder, such as 'output', for the error message.

  Raises:
    ArgumentError: if the folder has other settings, or has none and is not empty.
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
  """Returns whether the preparation of a folder is complete.

  Args:
    folder: the path of the folder, which need not exist.
  """
  return (pathlib.Path(folder) / _FILE).exists()


def write_data_info(folder: str | os.PathLike, records: Sequence[str], pattern: str, annotation_file: str,
                    num_examples: int, category_names: Mapping[int, str], most_objects: int) -> None:
  """Writes data_info.json, the description that `read_data_info` reads, and thereby marks the folder as complete.

  Args:
    folder: the path of the folder that contains the data.
    records: the names of the TFRecord files in the folder.
    pattern: a glob that matches these names.
    annotation_file: the name of the annotation file in the folder.
    num_examples: the number of images.
    category_names: the name of each category by its id; the labels in the records are those of `category_ids`.
    most_objects: the greatest number of objects in an image.
  """
  data = {'num_examples': num_examples, 'category_names': category_names, 'category_ids': category_ids(category_names),
          'most_objects': most_objects, 'annotation_file': annotation_file, 'pattern': pattern, 'records': records}
  write_json(pathlib.Path(folder) / _FILE, data, indent=2, end='\n')


def record_files(info: DataInfo) -> list[str]:
  """Returns the paths of the TFRecord files of a prepared set, sorted.

  Args:
    info: the description of the set.
  """
  return sorted(glob.glob(info.records))  # TensorFlow's glob takes a backslash for an escape


def read_data_info(folder: str | os.PathLike) -> DataInfo:
  """Reads the description of a prepared folder.

  Args:
    folder: the path of the folder. The folder may have been moved since it was prepared: the paths in the result begin
      with this path.

  Raises:
    ArgumentError: if the preparation is not complete, or a file is missing.
  """
  folder = pathlib.Path(folder)
  try:
    data = json.loads((folder / _FILE).read_text())
    files = [folder / name for name in (*data['records'], data['annotation_file'])]
    names = {int(number): name for number, name in data['category_names'].items()}
    ids = {int(label): int(number) for label, number in data.get('category_ids', dict(zip(names, names))).items()}
    if min(ids, default=0) < 1 or sorted(ids.values()) != sorted(names):
      raise ValueError('`category_ids` must give each category a label from 1 on')
    records = os.path.join(glob.escape(str(folder)), data['pattern'])
    info = DataInfo(records, str(files[-1]), data['num_examples'], names, ids, data.get('most_objects'))
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
    raise ArgumentError(f"'{folder}' must be a folder that `python -m detection.prepare` has prepared to the end: "
                        f'{type(e).__name__}: {e}') from e
  absent = [path for path in files if not path.exists()]
  if absent:
    raise ArgumentError(f"'{folder}' is not complete: '{absent[0]}' is missing, {len(absent)} files in all. Remove the "
                        'folder and prepare it again.')
  return info
