"""Searches that are part of a study: several settings times several seeds, run one after the other or resumed.

Each search has a folder in the study's folder while it runs; then its journal alone is kept, compressed. A search that
has ended is not run again. While one runs, its journal so far is kept compressed as well, every ten minutes: where the
folder is missing, as in a clone of a repository that has the compressed file, the search goes on from there. Beside the
journals, studies.json says with which gin file and bindings each was begun; once it has results it is refused
with others. A data folder may move, and what a comment says does not count.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import gzip
import hashlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Any

import gin

from evonorm_tf.cli import gin_configuration
from evonorm_tf.output.model_dir import replacing
from evonorm_tf.output.model_dir import without_folder
from search.journal.journal import read
from search.journal.record import Record
from search.journal.saved_search import JOURNAL

_KEEP_EVERY = 600  # seconds


def timed(minutes: float) -> tuple[str, ...]:
  """Returns the gin bindings of searches to compare: they end by the clock, and have no references and no re-ranking.

  Args:
    minutes: the time of each search.
  """
  return (f'evolution.run_search.max_minutes = {minutes}', 'evolution.run_search.candidates = 100000',
          'evolution.run_search.references = ()', 'evolution.Reranking.top = 0')


def search_argument(name: str, gin_file: str, bindings: Sequence[str] = ()) -> Any:
  """Returns an argument of `search.evolution.run_search` as a gin file configures it, such as its evaluation.

  Args:
    name: the argument's name, such as 'evaluation'.
    gin_file: the path of the gin file.
    bindings: further gin bindings, which win over the file's (default: none).
  """
  with gin.unlock_config():  # an object that was made before has locked it
    gin.parse_config_files_and_bindings([gin_file], bindings)
  return gin.query_parameter(f'search.evolution.run_search.{name}').scoped_configurable_fn()


def _checksum(gin_file: str, bindings: Sequence[str]) -> str:
  """Returns a checksum of the configuration that a gin file and bindings give."""
  with gin_configuration.configured('search.evolution.run_search', [gin_file], bindings, ('model_dir',)):
    bound = gin_configuration.bindings()
  statements = {name: without_folder(name, value) for name, value in bound.items()}
  return hashlib.sha256(json.dumps(statements, sort_keys=True).encode()).hexdigest()


def _noted(binding: str) -> str:
  """Returns a binding as studies.json has it, without the path of a data folder."""
  name, _, value = (part.strip() for part in binding.partition('='))
  return f'{name} = {without_folder(name, value)}'


def note_configuration(folder: pathlib.Path, name: str, gin_file: str, bindings: Sequence[str] = (),
                       has_results: bool = True, **settings: Any) -> None:
  """Notes in studies.json with which configuration a part of a study was begun.

  Args:
    folder: the study's folder; it is created if necessary.
    name: the name of the part: of a search, or of a file of results.
    gin_file: the path of the gin file.
    bindings: further gin bindings (default: none).
    has_results: whether the part has results; before that, another configuration takes the place of the noted one.
    **settings: what else the results depend on, such as a seed, JSON data.

  Raises:
    SystemExit: if the part has results of another configuration.
  """
  path = folder / 'studies.json'
  noted = json.loads(path.read_text()) if path.exists() else {}
  own = {'gin_file': gin_file, 'configuration': _checksum(gin_file, bindings),
         'bindings': [_noted(binding) for binding in bindings], **settings}
  there = noted.get(name, own)
  if has_results and any(there.get(key, own[key]) != own[key] for key in ('configuration', *settings)):
    raise SystemExit(f'{path}: {name} was begun with {there}; now it is {own}. Give this study a folder of its own.')
  noted[name] = there if has_results else own
  folder.mkdir(parents=True, exist_ok=True)
  with replacing(path) as file:
    file.write_text(json.dumps(noted, indent=1) + '\n')


@dataclasses.dataclass(frozen=True)
class SearchStudy:
  """Searches with one gin file, several settings and several seeds.

  Attributes:
    folder: the folder of the journals; it is created if necessary.
    gin_file: the path of the gin file.
    settings: the gin bindings of each setting, by the setting's name; journals are named after its number.
    bindings: the gin bindings that all settings share, such as `timed(10)` (default: none).
  """
  folder: pathlib.Path
  gin_file: str
  settings: Mapping[str, Sequence[str]]
  bindings: Sequence[str] = ()

  def run(self, setting: str, seed: int | str) -> None:
    """Runs or resumes one search to its end, and compresses its journal; does nothing if that was done.

    Args:
      setting: a key of `settings`.
      seed: the search's seed.

    Raises:
      subprocess.CalledProcessError: if the search ends with an error.
      SystemExit: if the search, or a part of it, is there already with another configuration.
    """
    kept = self._kept(setting, seed)
    name = kept.name.removesuffix('.jsonl.gz')
    folder, partial = kept.with_name(name), kept.with_name(f'{name}.partial.jsonl.gz')
    journal = folder / JOURNAL
    bindings = [f'evolution.run_search.seed = {seed}', *self.bindings, *self.settings[setting]]
    is_begun = kept.exists() or partial.exists() or _has_records(journal)
    note_configuration(self.folder, name, self.gin_file, bindings, has_results=is_begun)
    if not kept.exists():
      folder.mkdir(parents=True, exist_ok=True)
      if partial.exists() and not journal.exists():
        with replacing(journal) as file:
          file.write_bytes(gzip.decompress(partial.read_bytes()))
      command = [sys.executable, '-m', 'search.run_search', f'--gin_file={self.gin_file}', f'--model_dir={folder}']
      _run(command + [f'--gin_bindings={binding}' for binding in bindings], lambda: _compress(journal, partial))
      _compress(journal, kept)
    partial.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)

  def records(self, setting: str, seed: int | str) -> list[Record] | None:
    """Returns the records of a search that has ended; None if it has not.

    Args:
      setting, seed: as for `run`.
    """
    kept = self._kept(setting, seed)
    return read_compressed(kept) if kept.exists() else None

  def _kept(self, setting: str, seed: int | str) -> pathlib.Path:
    return self.folder / f'setting_{list(self.settings).index(setting)}_seed_{seed}.jsonl.gz'


def _run(command: Sequence[str], keep: Callable[[], None]) -> None:
  """Runs a command, and calls `keep` every ten minutes; the command ends with this process."""
  before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  process = subprocess.Popen(command)
  try:
    while True:
      try:
        code = process.wait(_KEEP_EVERY)
        break
      except subprocess.TimeoutExpired:
        keep()
  except BaseException:
    process.terminate()
    process.wait()
    raise
  finally:
    signal.signal(signal.SIGTERM, before)
  if code:
    raise subprocess.CalledProcessError(code, command)


def _has_records(journal: pathlib.Path) -> bool:
  """Returns whether there is a journal with a record."""
  return journal.exists() and b'"stage"' in journal.read_bytes()


def _compress(journal: pathlib.Path, path: pathlib.Path) -> None:
  """Writes a journal to a compressed file, which is replaced at once."""
  with replacing(path) as part, open(journal, 'rb') as source, gzip.open(part, 'wb') as file:
    shutil.copyfileobj(source, file)


def read_compressed(path: pathlib.Path) -> list[Record]:
  """Returns the records of a compressed journal.

  Args:
    path: the file.
  """
  with tempfile.NamedTemporaryFile(suffix='.jsonl') as file:
    file.write(gzip.decompress(path.read_bytes()))
    file.flush()
    return read(file.name)[1]
