"""How many evaluations the equivalence cache saves: searches with a stand-in for the evaluation, and recorded ones.

  python -m benchmarks.equivalents [--candidates=10000 --window=2500] [--journal=DIR ...]

The stand-in gives each function scores at random, or none: of 100 that pass the static filter, 25 are accepted. So
proposals, tournaments and populations are a search's own; which functions they favour is chance. What is saved is the
share of candidates that compute an earlier one's function: nothing where these are redrawn. Of the journal of a real
search it tells how many of the evaluated candidates an earlier one would have stood for.
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
_WINDOW = flags.DEFINE_integer('window', 2500, 'Candidates alive, and random ones at first.', lower_bound=1)
_FRACTION = flags.DEFINE_float('fraction', .05, 'Share of the population in a tournament.')
_JOURNALS = flags.DEFINE_multi_string('journal', [], 'Folders of real searches, instead of the stand-in.')
ACCEPTED_SHARE = .25


class Classes:
  """Numbers graphs by what they are, once as graphs without dead nodes and once as functions."""

  def __init__(self):
    self.graphs, self._equivalents, self.functions = set(), Equivalents(), 0

  def function(self, graph) -> int:
    """The number of the graph's function."""
    self.graphs.add(graph.without_dead_nodes())
    number = self._equivalents.find(graph)
    if number is None:
      number = self.functions
      self._equivalents.add(graph, number)
      self.functions += 1
    return number


def stand_in(function: int) -> tuple[float, ...]:
  """The scores that the stand-in gives a function; none to what it rejects."""
  rng = np.random.default_rng(function)
  return tuple(rng.random(3).tolist()) if rng.random() < ACCEPTED_SHARE else ()


class Graphs:
  """As `Equivalents`, but only a graph that is identical but for dead nodes is equivalent."""

  def __init__(self):
    self._keys = {}

  def find(self, graph) -> int | None:
    return self._keys.get(graph.without_dead_nodes())

  def add(self, graph, key: int) -> None:
    self._keys[graph.without_dead_nodes()] = key


def search(strategy, equivalents: Equivalents | Graphs | None) -> list[str]:
  """The row of a search that redraws what is equivalent."""
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
  """The row of a search on record."""
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
