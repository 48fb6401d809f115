"""How busy a search keeps the workers of a simulated cluster.

  python -m benchmarks.studies.cluster [--workers=1000 --workers=5000] [--minutes=5] [--candidates_a_worker=20]

The search is a real one, with journal, proposals, equal layers, TensorBoard and progress, on one core of this machine.
The workers are simulated: an evaluation takes no time, has the outcome of a candidate of recorded searches, and is said
to end after the time that this one took, multiplied so that the mean is --minutes. One in a hundred kills its worker,
which is there again after half a minute. The clock is this machine's while the driver works, and jumps to the next end
of an evaluation while it waits, so that 1,000 workers over hours take minutes.

The table gives the share of the workers' time that went to evaluations: from the begin to the last proposal, and
without the time until every worker had its first candidate.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import collections
import heapq
import itertools
import random
import statistics
import tempfile
import time

from absl import app
from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks.studies.recorded_outcomes import outcomes
from benchmarks.studies.recorded_outcomes import RecordedOutcomes
from search.evolution import Reranking
from search.evolution import run_search
from search.execution.executors import WorkerDied
from search.graphs.random_graph import SearchSpace
from search.selection.proposal import TournamentEvolution

_WORKERS = flags.DEFINE_multi_integer('workers', [100, 1000], 'Workers of a cluster; once for each.', lower_bound=2)
_MINUTES = flags.DEFINE_multi_float('minutes', [.1, 1., 5.], 'Mean time of an evaluation; once for each.')
_CANDIDATES = flags.DEFINE_integer('candidates_a_worker', 10, 'Candidates for each worker.', lower_bound=2)
DEADLY, SECONDS_TO_START = .01, 30.  # share of evaluations that kill their worker; until the next one is there


class Cluster:
  """An executor of simulated workers, whose time is the driver's own and what is skipped while it waits.

  Args:
    workers: the number of workers.
    scale: the factor by which evaluations take longer than the recorded ones.

  Attributes:
    busy: the workers' seconds of evaluations.
    idle: the workers' seconds between the end of an evaluation, or the begin, and the next one.
    first_idle: those before the first evaluation.
  """
  in_process = False

  def __init__(self, workers: int, scale: float):
    self._scale, self._rng = scale, random.Random(0)
    self._idle_since = collections.deque([0.] * workers)  # ascending times at which workers became free
    self._has_begun = collections.deque([False] * workers)
    self._tasks, self._numbers = [], itertools.count()
    self._skipped = -time.perf_counter()
    self.busy = self.idle = self.first_idle = 0.

  @property
  def now(self) -> float:
    """The time since the begin, in seconds."""
    return time.perf_counter() + self._skipped

  @property
  def free(self) -> int:
    """The number of workers without a task that have started."""
    return sum(1 for since in self._idle_since if since <= self.now)

  def submit(self, key, function, *args) -> None:
    """Begins a task, which takes the time of its recorded evaluation."""
    before, since = time.perf_counter(), self._idle_since.popleft()
    outcome = function(*args)
    self._skipped -= time.perf_counter() - before  # workers compute elsewhere
    start = max(self.now, since)  # a task that is tried again may wait for its worker
    waited = start - since
    if self._has_begun.popleft():
      self.idle += waited
    else:
      self.first_idle += waited
    seconds = self._scale * outcome.seconds['total']
    is_deadly = self._rng.random() < DEADLY
    self.busy += seconds
    task = start + seconds, next(self._numbers), key, WorkerDied() if is_deadly else outcome
    heapq.heappush(self._tasks, task)

  def has_result(self) -> bool:
    """Returns whether a task has ended."""
    return bool(self._tasks) and self._tasks[0][0] <= self.now

  def next_result(self):
    """Returns the result of the task that ends first, and skips the time until then."""
    end, _, key, result = heapq.heappop(self._tasks)
    self._skipped += max(0., end - self.now)
    start = end + SECONDS_TO_START if isinstance(result, WorkerDied) else end
    place = sum(1 for since in self._idle_since if since <= start)
    self._idle_since.insert(place, start)
    self._has_begun.append(True)
    return key, result

  def probe(self) -> None:
    """Does nothing: workers can start."""

  def close(self) -> None:
    """Does nothing: there are no workers."""


def run(workers: int, minutes: float, candidates: int) -> Cluster:
  """Runs a search on a cluster and returns it.

  Args:
    workers: the number of workers.
    minutes: the mean time of an evaluation.
    candidates: the number of candidates.
  """
  scale = 60. * minutes / statistics.fmean(outcome.seconds['total'] for outcome in outcomes())
  with tempfile.TemporaryDirectory() as folder:
    cluster = Cluster(workers, scale)
    run_search(folder, evaluation=RecordedOutcomes(), reranking=Reranking(RecordedOutcomes(), top=0),
               space=SearchSpace(), window=2500, candidates=candidates, executor=lambda: cluster,
               strategy=TournamentEvolution(initial_candidates=2500, mutations=1, random_offspring=0.))
  return cluster


def main(_):
  """Runs the benchmark and prints its table; the argument, the command line without flags, is not used."""
  console = Console()
  table = Table(title='The workers of a simulated cluster')
  for column in ('workers', 'minutes an evaluation', 'candidates', 'busy, %', 'after the first, %'):
    table.add_column(column, justify='right')
  for workers in _WORKERS.value:
    for minutes in _MINUTES.value:
      candidates = workers * _CANDIDATES.value
      c = run(workers, minutes, candidates)
      shares = c.busy / (c.busy + c.idle + c.first_idle), c.busy / (c.busy + c.idle)
      table.add_row(f'{workers:,}', f'{minutes:g}', f'{candidates:,}', *(f'{100 * share:.1f}' for share in shares))
      console.print(table)


if __name__ == '__main__':
  app.run(main)
