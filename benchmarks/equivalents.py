"""Evaluations that the equivalence cache saves, in searches with a stand-in for the evaluation and in recorded ones.

  python -m benchmarks.equivalents [--candidates=10000 --window=2500] [--journal=DIR ...]

The stand-in gives each function random scores, or none: of 100 that pass the static filter, 25 are accepted.
Proposals, tournaments and populations are therefore those of a real search, but which functions they favour is chance.
The share saved is that of candidates that compute an earlier candidate's function; it is zero if these are redrawn. For
the journal of a real search, it is the share of evaluated candidates whose outcome an earlier one could have provided.
"""

import pathlib
import time

from absl import app
from absl import flags
import numpy as np
from rich.console import Console
from rich.table import Table

from search.equivalence.equivalents import Equivalents
from search.graphs.random_graph import SearchSpace
from search.journal import journal
from search.journal import records as records_lib
from search.journal.candidate import Candidate
from search.selection.population import Population
from search.selection.proposal import propose
from search.selection.proposal import RandomSearch
from search.selection.proposal import SEEN_BEFORE
from search.selection.proposal import TournamentEvolution

_CANDIDATES = flags.DEFINE_integer('candidates', 10_000, 'Candidates of a search.', lower_bound=1)
_WINDOW = flags.DEFINE_integer('window', 2500, 'Candidates alive, and random ones at the start.', lower_bound=1)
_FRACTION = flags.DEFINE_float('fraction', .05, 'Share of the population in a tournament.')
_JOURNALS = flags.DEFINE_multi_string('journal', [], 'Folders of real searches, instead of the stand-in.')
ACCEPTED_SHARE = .25


class Classes:
  """Counts the distinct graphs, without their dead nodes, and the distinct functions, which it numbers."""

  def __init__(self):
    self.graphs, self._equivalents, self.functions = set(), Equivalents(), 0

  def function(self, graph) -> int:
    """Returns the number of the graph's function."""
    self.graphs.add(graph.without_dead_nodes())
    number = self._equivalents.find(graph)
    if number is None:
      number = self.functions
      self._equivalents.add(graph, number)
      self.functions += 1
    return number


def stand_in(function: int) -> tuple[float, ...]:
  """Returns the scores that the stand-in gives a function; none if it rejects it."""
  rng = np.random.default_rng(function)
  return tuple(rng.random(3).tolist()) if rng.random() < ACCEPTED_SHARE else ()


class Graphs:
  """Like `Equivalents`, but graphs are equivalent only if they are identical except for dead nodes."""

  def __init__(self):
    self._keys = {}

  def find(self, graph) -> int | None:
    return self._keys.get(graph.without_dead_nodes())

  def add(self, graph, key: int) -> None:
    self._keys[graph.without_dead_nodes()] = key


def search(strategy, equivalents: Equivalents | Graphs | None) -> list[str]:
  """Returns the table's row for a search that redraws equivalent candidates."""
  population, classes, redrawn, seconds = Population(_WINDOW.value), Classes(), 0, 0.
  for index in range(_CANDIDATES.value):
    start = time.perf_counter()
    proposal = propose(index, strategy, SearchSpace(), population, equivalents, seed=0)
    if equivalents is not None:
      equivalents.add(proposal.graph, index)
    seconds += time.perf_counter() - start
    redrawn += proposal.filtered.get(SEEN_BEFORE, 0)
    scores = stand_in(classes.function(proposal.graph))
    if scores:
      population.append(Candidate(index, proposal.graph, scores))
  return row(_CANDIDATES.value, classes) + [f'{redrawn:,}', f'{1000 * seconds / _CANDIDATES.value:.1f}']


def recorded(model_dir: str) -> list:
  """Returns the table's row for a recorded search."""
  classes = Classes()
  evaluated = records_lib.evaluated(journal.read(pathlib.Path(model_dir) / 'journal.jsonl')[1])
  for record in evaluated:
    classes.function(record.graph)
  return row(len(evaluated), classes) + ['', '']


def row(candidates: int, classes: Classes) -> list[str]:
  saved = 1 - classes.functions / candidates if candidates else 0.
  return [f'{candidates:,}', f'{len(classes.graphs):,}', f'{classes.functions:,}', f'{saved:.1%}']


def main(_):
  table = Table(title='What the equivalence cache saves')
  for column in ('search', 'candidates', 'graphs', 'functions', 'saved', 'redrawn', 'ms a proposal'):
    table.add_column(column, justify='left' if column == 'search' else 'right')
  for model_dir in _JOURNALS.value:
    table.add_row(model_dir, *recorded(model_dir))
  evolution = TournamentEvolution(_WINDOW.value, _FRACTION.value)
  for name, strategy in () if _JOURNALS.value else (('evolution', evolution), ('random', RandomSearch())):
    for redrawn, equivalents in (('nothing', None), ('identical graphs', Graphs()), ('equivalents', Equivalents())):
      table.add_row(f'{name}, {redrawn} redrawn', *search(strategy, equivalents))
  Console(width=120).print(table)


if __name__ == '__main__':
  app.run(main)
