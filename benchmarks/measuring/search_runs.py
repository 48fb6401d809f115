"""Searches that are part of a study: several settings times several seeds, run one after the other or resumed.

Each search has a folder in the study's folder while it runs; then its journal alone is kept, compressed. A search that
has ended is not run again.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import gzip
import pathlib
import shutil
import subprocess
import sys
import tempfile

from search.journal.journal import read
from search.journal.record import Record
from search.journal.saved_search import JOURNAL


@dataclasses.dataclass(frozen=True)
class SearchStudy:
  """Searches with one gin file, several settings and several seeds, without references and re-ranking.

  Attributes:
    folder: the folder of the journals.
    gin_file: the path of the gin file.
    minutes: the time of each search.
    settings: the gin bindings of each setting, by the setting's name; journals are named after its number.
  """
  folder: pathlib.Path
  gin_file: str
  minutes: float
  settings: Mapping[str, Sequence[str]]

  def run(self, setting: str, seed: int | str) -> None:
    """Runs or resumes one search to its end, and compresses its journal; does nothing if that was done.

    Args:
      setting: a key of `settings`.
      seed: the search's seed.

    Raises:
      subprocess.CalledProcessError: if the search ends with an error.
    """
    kept = self._kept(setting, seed)
    if kept.exists():
      return
    folder = kept.with_name(kept.name.removesuffix(''.join(kept.suffixes)))
    bindings = (
        f'evolution.run_search.seed = {seed}', f'evolution.run_search.max_minutes = {self.minutes}',
        'evolution.run_search.candidates = 100000', 'evolution.run_search.references = ()',
        'evolution.Reranking.top = 0', *self.settings[setting])
    command = [sys.executable, '-m', 'search.run_search', f'--gin_file={self.gin_file}', f'--model_dir={folder}']
    subprocess.run(command + [f'--gin_bindings={binding}' for binding in bindings], check=True)
    compressed = kept.with_suffix('.part')
    with open(folder / JOURNAL, 'rb') as journal, gzip.open(compressed, 'wb') as file:
      shutil.copyfileobj(journal, file)
    compressed.rename(kept)
    shutil.rmtree(folder)

  def records(self, setting: str, seed: int | str) -> list[Record] | None:
    """Returns the records of a search that has ended; None if it has not.

    Args:
      setting, seed: as for `run`.
    """
    kept = self._kept(setting, seed)
    return read_compressed(kept) if kept.exists() else None

  def _kept(self, setting: str, seed: int | str) -> pathlib.Path:
    return self.folder / f'setting_{list(self.settings).index(setting)}_seed_{seed}.jsonl.gz'


def read_compressed(path: pathlib.Path) -> list[Record]:
  """Returns the records of a compressed journal.

  Args:
    path: the file.
  """
  with tempfile.NamedTemporaryFile(suffix='.jsonl') as file:
    file.write(gzip.decompress(path.read_bytes()))
    file.flush()
    return read(file.name)[1]
