"""What a search's driver takes for a candidate, and to resume, with few and with many records in the journal.

  python -m benchmarks.driver [--records=0 --records=20000 --records=100000] [--model_dir=runs/driver]

A real search, with journal, TensorBoard, progress, proposals and the recognition of equal layers, whose evaluations
take no time: each layer gets the outcome of a candidate of recorded searches. At each number of records it measures the
next 2,000 candidates: the driver's time for a candidate, with and without its proposal, the mean, which holds what is
written at intervals of time, and the median. Then a new process resumes the search and takes the time until its first
proposal, imports not counted, and its memory; `--rebuild` does so without the file of the equivalence cache, too.
100,000 candidates take 14 minutes on one core; a folder with as many is gone on with.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time
from unittest import mock

from absl import app
from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks.studies.recorded_outcomes import RecordedOutcomes
from search.evolution import Reranking
from search.evolution import run_search
from search.graphs.random_graph import SearchSpace
from search.selection.proposal import TournamentEvolution
from search.selection.proposer import Proposer

_RECORDS = flags.DEFINE_multi_integer('records', [0, 20_000, 100_000], 'Records at which to measure; once for each.')
_MODEL_DIR = flags.DEFINE_string('model_dir', 'runs/driver', "The search's folder.")
_REBUILD = flags.DEFINE_bool('rebuild', False, 'Whether to resume without the equivalence file, too.')
_RESUME = flags.DEFINE_integer('resume', None, 'Only resume with one more candidate than that many; internal.')
MEASURED = 2000  # candidates from each number of records on


class Instant:
  """An executor whose tasks end as soon as they begin."""
  in_process = False

  def __init__(self):
    self._task = None

  @property
  def free(self) -> int:
    """The number of tasks that can be submitted now."""
    return int(self._task is None)

  def submit(self, key, function, *args) -> None:
    """Keeps a task."""
    self._task = key, function, args

  def next_result(self):
    """Runs the task."""
    (key, function, args), self._task = self._task, None
    return key, function(*args)

  def close(self) -> None:
    """Does nothing: there is no worker."""


class Stopwatch:
  """Takes the time of each candidate, and that of its proposal: a callback of the search, and a patch of proposals."""

  def __init__(self):
    self.candidates, self.proposals = [], []  # seconds
    self.first_proposal_at = None
    self._last = self._proposing = 0.

  def __call__(self, found, record) -> None:
    now = time.perf_counter()
    self.candidates.append(now - self._last)
    self.proposals.append(self._proposing)
    self._last = now

  def propose(self, proposer, index):
    """Proposes a candidate."""
    start = time.perf_counter()
    self.first_proposal_at = self.first_proposal_at or start
    proposal = _PROPOSE(proposer, index)
    self._proposing = time.perf_counter() - start
    return proposal


_PROPOSE = Proposer.propose


def run(model_dir: str, candidates: int) -> Stopwatch:
  """Runs the search up to a number of candidates and returns their times.

  Args:
    model_dir: the search's folder.
    candidates: the number of candidates, those of earlier runs included.
  """
  watch = Stopwatch()
  with mock.patch.object(Proposer, 'propose', lambda self, index: watch.propose(self, index)):
    run_search(model_dir, evaluation=RecordedOutcomes(), reranking=Reranking(RecordedOutcomes(), top=0),
               space=SearchSpace(), window=2500, candidates=candidates, executor=Instant, callbacks=[watch],
               strategy=TournamentEvolution(initial_candidates=2500, mutations=1, random_offspring=0.))
  return watch


def resumed(model_dir: str, records: int) -> tuple[float, float]:
  """Resumes the search in a new process; returns the seconds until its first proposal, and its peak memory in MB.

  Args:
    model_dir: the search's folder.
    records: the number of records in its journal.
  """
  command = [sys.executable, '-m', 'benchmarks.driver', f'--model_dir={model_dir}', f'--resume={records}']
  printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
  return tuple(json.loads(printed.splitlines()[-1]))


def _print_resumed() -> None:
  start = time.perf_counter()
  watch = run(_MODEL_DIR.value, _RESUME.value + 1)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
  print(json.dumps((watch.first_proposal_at - start, peak)))


def main(_):
  """Runs the benchmark and prints its table; the argument, the command line without flags, is not used."""
  if _RESUME.value is not None:
    _print_resumed()
    return
  console = Console()
  table = Table(title='The driver')
  for column in ('records', 'a candidate, ms: mean', 'median', 'without proposal: mean', 'median', 'resume, s', 'MB',
                 *(('without the file, s',) if _REBUILD.value else ())):
    table.add_column(column, justify='right')
  folder = pathlib.Path(_MODEL_DIR.value)
  for records in sorted(_RECORDS.value):
    if records:
      run(str(folder), records)
    watch = run(str(folder), records + MEASURED)
    if not watch.candidates:
      console.print(f'{records:,} records: {folder} has more already, and was left as it is')
      continue
    whole = watch.candidates[1:]  # the first one's time holds the start
    alone = [candidate - proposal for candidate, proposal in zip(whole, watch.proposals[1:])]
    times = [1e3 * average(values) for values in (whole, alone) for average in (statistics.fmean, statistics.median)]
    again = [*resumed(str(folder), records + MEASURED)]
    if _REBUILD.value:
      (folder / 'equivalence.cache').unlink()
      again.append(resumed(str(folder), records + MEASURED + 1)[0])
    table.add_row(f'{records:,}', *(f'{t:.2f}' for t in times), f'{again[0]:.1f}', f'{again[1]:,.0f}',
                  *(f'{t:.1f}' for t in again[2:]))
    console.print(table)


if __name__ == '__main__':
  app.run(main)
