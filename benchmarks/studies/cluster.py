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

import statistics
import tempfile

from absl import app
from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks.studies.recorded_outcomes import outcomes
from benchmarks.studies.recorded_outcomes import RecordedOutcomes
from benchmarks.studies.simulated_cluster import Cluster
from search.evolution import Reranking
from search.evolution import run_search
from search.graphs.random_graph import SearchSpace
from search.selection.proposal import TournamentEvolution

_WORKERS = flags.DEFINE_multi_integer('workers', [100, 1000], 'Workers of a cluster; once for each.', lower_bound=2)
_MINUTES = flags.DEFINE_multi_float('minutes', [.1, 1., 5.], 'Mean time of an evaluation; once for each.')
_CANDIDATES = flags.DEFINE_integer('candidates_a_worker', 10, 'Candidates for each worker.', lower_bound=2)


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
