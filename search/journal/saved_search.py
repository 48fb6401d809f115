"""A search that is there already, read from its `model_dir` without disturbing one that is running."""

import dataclasses
import pathlib

from evonorm_tf.output.model_dir import ModelDirError
from search.journal import journal
from search.journal.record_checks import check_records

JOURNAL = 'journal.jsonl'


@dataclasses.dataclass(frozen=True)
class SavedSearch:
  """What a journal holds.

  Attributes:
    model_dir: the search's folder.
    config: what identifies the search, JSON data.
    records: as `search.journal.records` describes them.
  """
  model_dir: pathlib.Path
  config: dict
  records: list[dict]


def load_search(model_dir) -> SavedSearch:
  """Reads a search's folder.

  Raises:
    ModelDirError: naming the folder or the file, if there is no search or its journal is not valid.
  """
  model_dir = pathlib.Path(model_dir)
  path = model_dir / JOURNAL
  if not path.is_file():
    reason = f'holds no {JOURNAL}' if model_dir.is_dir() else 'is no folder'
    raise ModelDirError(f'{model_dir} {reason}; `model_dir` must be the folder of a search.')
  config, records = journal.read(path)
  check_records(path, records)
  return SavedSearch(model_dir, config, records)
