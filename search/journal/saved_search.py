"""A search read from its `model_dir`, without disturbing one that is running."""

import dataclasses
import os
import pathlib
from typing import Any

from evonorm_tf.output.model_dir import ModelDirError
from search.journal import journal
from search.journal.record import Record

JOURNAL = 'journal.jsonl'


@dataclasses.dataclass(frozen=True)
class SavedSearch:
  """The content of a journal.

  Attributes:
    model_dir: the search's folder.
    config: what identifies the search, JSON data.
    records: of all stages, in the order of completion.
  """
  model_dir: pathlib.Path
  config: dict[str, Any]
  records: list[Record]


def load_search(model_dir: str | os.PathLike) -> SavedSearch:
  """Reads a search's folder.

  Raises:
    ModelDirError: naming the folder or the file, if there is no search or its journal is not valid.
  """
  model_dir = pathlib.Path(model_dir)
  path = model_dir / JOURNAL
  if not path.is_file():
    reason = f'holds no {JOURNAL}' if model_dir.is_dir() else 'is no folder'
    raise ModelDirError(f'{model_dir} {reason}; `model_dir` must be the folder of a search.')
  return SavedSearch(model_dir, *journal.read(path))
