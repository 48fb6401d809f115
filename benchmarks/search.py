"""Cost of a search's candidates: candidates per minute, and the share of each activity in the time.

  python -m benchmarks.search [--gin_file=gin/search/quickstart.gin] [--graphs=60] [--layers=bn_relu,evonorm_s0]

It runs on one core, like each of the quickstart's two workers, for about seven minutes, three with --layers=. The time
of a candidate is that from its layer graph to the outcome. There are three tables:
- random graphs that pass the static filter, evaluated up to the quality test of all architectures, by outcome. The time
  includes building the networks that a process keeps for later candidates.
- a third of these graphs on the first architecture, without and with the two parts that make the screening fast: an
  early test of the training loss, and networks that are used again.
- known layers, as layer graphs, through the whole evaluation.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import collections
import dataclasses
import statistics
import time

from absl import app
from absl import flags
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.measuring.command_line import define_names
from benchmarks.measuring.one_core import read_evaluation
from benchmarks.measuring.one_core import typical_graphs
from search.evaluation.evaluation import Evaluation
from search.evaluation.evaluation import Outcome
from search.graphs.known_graphs import graphs_by_name
from search.graphs.known_graphs import known_graph
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection

_GIN_FILE = flags.DEFINE_string('gin_file', 'gin/search/quickstart.gin', 'The search whose task is timed.')
_GRAPHS = flags.DEFINE_integer('graphs', 60, 'Random graphs that are screened.', lower_bound=3)
_LAYERS = define_names('layers', ['bn_relu', 'evonorm_s0'], graphs_by_name(),
                       'Known layers that are evaluated; none to leave out.', least=0)

FILTERED = 20_000  # the number of random graphs on which the static filter is timed
ACTIVITIES = ('build', 'trace', 'train', 'evaluate', 'stability')


def static_filter_rate() -> tuple[float, float]:
  """Returns the number of random graphs that are drawn and filtered per second, and the share rejected, in [0, 1]."""
  space, rng = SearchSpace(), np.random.default_rng(0)
  start = time.perf_counter()
  rejected = sum(static_rejection(random_graph(space, rng)) is not None for _ in range(FILTERED))
  return FILTERED / (time.perf_counter() - start), rejected / FILTERED


def timed_outcomes(evaluation: Evaluation, graphs) -> list[Outcome]:
  """Evaluates layer graphs and returns their outcomes.

  Args:
    evaluation: the evaluation.
    graphs: the layer graphs.

  Returns:
    The outcomes in the same order. 'total' in their `seconds` is the whole time, including garbage collection.
  """
  outcomes = []
  for graph in graphs:
    start = time.perf_counter()
    outcomes.append(evaluation.evaluate(graph))
    outcomes[-1].seconds['total'] = time.perf_counter() - start
  return outcomes


def verdict(outcome: Outcome) -> str:
  """Returns an outcome in words, such as 'passed', 'rejected: quality, accuracy' or 'failed: loss not finite'.

  Args:
    outcome: the outcome of an evaluation.
  """
  if outcome.outcome == 'accepted':
    return 'passed'
  if 'not finite' in outcome.detail:
    return 'failed: loss not finite'
  return outcome.outcome + next((f', {test}' for test in ('loss', 'accuracy') if f' {test} ' in outcome.detail), '')


def make_table(title: str, first_column: str) -> Table:
  """Returns an empty table.

  Args:
    title: the table's title.
    first_column: the title of the first column, which names the rows.
  """
  table = Table(title=title)
  table.add_column(first_column)
  for column in ('candidates', 'a minute', 'median s', 'mean s', *ACTIVITIES):
    table.add_column(column, justify='right')
  return table


def add_row(table: Table, name: str, outcomes: list[Outcome]) -> None:
  """Adds a row with the candidates per minute, their seconds, and each activity's share of the time.

  Args:
    table: a table of `make_table`.
    name: the name of the row.
    outcomes: the results of `timed_outcomes`, at least one.
  """
  totals = [o.seconds['total'] for o in outcomes]
  shares = (sum(o.seconds.get(a, 0.) for o in outcomes) / sum(totals) for a in ACTIVITIES)
  table.add_row(name, str(len(outcomes)), f'{60 * len(outcomes) / sum(totals):.3g}', f'{statistics.median(totals):.2f}',
                f'{statistics.fmean(totals):.2f}', *(f'{s:.0%}' for s in shares))


def screening_table(evaluation: Evaluation, graphs) -> Table:
  """Evaluates random graphs and returns their table, one row for each result of `verdict`.

  Args:
    evaluation: the evaluation.
    graphs: the layer graphs.
  """
  outcomes, by_verdict = timed_outcomes(evaluation, graphs), collections.defaultdict(list)
  for outcome in outcomes:
    by_verdict[verdict(outcome)].append(outcome)
  table = make_table('Screening of random graphs, all architectures', 'verdict')
  for name, some in sorted(by_verdict.items()):
    add_row(table, name, some)
  add_row(table, 'all that do not pass', [o for o in outcomes if o.outcome != 'accepted'])
  add_row(table, 'all', outcomes)
  return table


def parts_table(evaluation: Evaluation, graphs) -> Table:
  """Evaluates the same graphs without and with the parts that make the screening fast, and returns the table.

  Args:
    evaluation: the evaluation, which has both parts.
    graphs: the layer graphs.
  """
  slow_quality = dataclasses.replace(evaluation.quality, loss_test=None)
  table = make_table('Contribution of each part, first architecture', 'screening')
  for name, changes in (('the paper\'s test, every network anew', {'quality': slow_quality, 'reuse': False}),
                        ('loss test', {'reuse': False}), ('networks used again', {'quality': slow_quality}),
                        ('both', {})):
    add_row(table, name, timed_outcomes(dataclasses.replace(evaluation, **changes), graphs))
  return table


def main(_):
  """Runs the benchmark and prints its tables; the argument, the command line without flags, is not used."""
  full = read_evaluation(_GIN_FILE.value)
  screening = dataclasses.replace(full, stability=None, task=dataclasses.replace(full.task, steps=full.quality.steps))
  first = dataclasses.replace(screening, task=dataclasses.replace(
      screening.task, architectures=full.task.architectures[:1]))
  console = Console(width=120)
  rate, rejected = static_filter_rate()
  console.print(f'static filter: {60 * rate:,.0f} random graphs a minute, made and judged; {rejected:.1%} rejected')
  full.check()
  graphs = typical_graphs(_GRAPHS.value)
  console.print(screening_table(screening, graphs))
  console.print(parts_table(first, graphs[:len(graphs) // 3]))
  if _LAYERS.value:
    table = make_table('Whole evaluation, all architectures, networks kept from the screening', 'layer graph')
    for name in _LAYERS.value:
      add_row(table, name, timed_outcomes(full, [known_graph(name)]))
    console.print(table)


if __name__ == '__main__':
  app.run(main)
