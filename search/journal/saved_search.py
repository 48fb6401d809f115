"""A saved search, read from its `model_dir` without disturbing a process that runs it."""

import dataclasses
import os
import pathlib
from typing import Any

from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.object_folder import is_url
from search.journal import journal
from search.journal.record import Record
from search.journal.stored_folder import fetched

JOURNAL = 'journal.jsonl'  # the journal's name in the folder of a search


@dataclasses.dataclass(frozen=True)
class SavedSearch:
  """A search as its journal describes it.

  Attributes:
    model_dir: the search's folder; of one in an object store, the local copy.
    config: the search's configuration, JSON data: the arguments of `search.evolution.run_search` that its results
      depend on.
    records: the records of all stages, in the order of completion.
  """
  model_dir: pathlib.Path
  config: dict[str, Any]
  records: list[Record]


def load_search(model_dir: str | os.PathLike, copy: pathlib.Path | None = None, everything: bool = True) -> SavedSearch:
  """Reads a search from its folder; the search may be running.

  Args:
    model_dir: the folder, as given to `search.evolution.run_search`; of a URL, a copy is made as it is now.
    copy: the copy of a URL's folder, which is brought up to date; None (default) for a new one.
    everything: whether the copy has all files (default); False for the journal alone.

  Returns:
    The search.

  Raises:
    ModelDirError: if the folder holds no search, or if its journal is not valid; the message names the folder or file.
  """
  given = model_dir
  model_dir = fetched(os.fspath(model_dir), copy, everything) if is_url(model_dir) else pathlib.Path(model_dir)
  path = model_dir / JOURNAL
  if not path.is_file():
    reason = f'holds no {JOURNAL}' if model_dir.is_dir() else 'is no folder'
    raise ModelDirError(f'{given} {reason}; `model_dir` must be the folder of a search.')
  return SavedSearch(model_dir, *journal.read(path))
