"""The evaluations that the equivalence cache saves, in simulated searches and in the journals of real ones.

  python -m benchmarks.equivalents [--candidates=10000 --window=2500] [--journal=DIR ...]

A simulated search proposes candidates, draws tournaments and keeps a population like a real one, but instead of being
trained, each function gets random scores, or none: a quarter of the functions are accepted. The column "saved" is the
share of candidates that compute an earlier candidate's function; it is zero if such candidates are drawn again. For the
journal of a real search, it is the share of evaluated candidates whose outcome could have been copied from an earlier
one.
"""

import pathlib
import time

from absl import app
from absl import flags
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
ACCEPTED_SHARE = .25  # the share of functions that a simulated search accepts


class Classes:
  """A counter of distinct graphs, without their dead nodes, and of distinct functions.

  Attributes:
    graphs: the set of distinct graphs.
    functions: the number of distinct functions.
  """

  def __init__(self):
    self.graphs, self._equivalents, self.functions = set(), Equivalents(), 0

  def function(self, graph) -> int:
    """Counts a layer graph and returns the number of its function, from 0 in the order of appearance.

    Args:
      graph: the layer graph.
    """
    self.graphs.add(graph.without_dead_nodes())
    number = self._equivalents.find(graph)
    if number is None:
      number = self.functions
      self._equivalents.add(graph, number)
      self.functions += 1
    return number


def stand_in(function: int) -> tuple[float, ...]:
  """Returns the three random scores of a function in a simulated search, in [0, 1]; an empty tuple if it is rejected.

  Args:
    function: the function's number, which seeds the scores.
  """
  rng = np.random.default_rng(function)
  return tuple(rng.random(3).tolist()) if rng.random() < ACCEPTED_SHARE else ()


class Graphs:
  """A simpler equivalence cache, in which graphs are equivalent only if they are equal except for dead nodes."""

  def __init__(self):
    self._keys = {}

  def find(self, graph) -> int | None:
    """Returns the key given to `add` with an equal graph, or None.

    Args:
      graph: the layer graph; its dead nodes are ignored.
    """
    return self._keys.get(graph.without_dead_nodes())

  def add(self, graph, key: int) -> None:
    """Adds a layer graph with a key.

    Args:
      graph: the layer graph; its dead nodes are ignored.
      key: the key, a candidate's index.
    """
    self._keys[graph.without_dead_nodes()] = key


def search(strategy, equivalents: Equivalents | Graphs | None) -> list[str]:
  """Simulates a search and returns its cells in the table.

  Args:
    strategy: the search strategy, a `search.selection.Strategy`.
    equivalents: the cache of functions that are not proposed again; None to propose them.
  """
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
  """Returns the cells in the table for a recorded search.

  Args:
    model_dir: the search's folder.
  """
  classes = Classes()
  evaluated = records_lib.evaluated(journal.read(pathlib.Path(model_dir) / 'journal.jsonl')[1])
  for record in evaluated:
    classes.function(record.graph)
  return row(len(evaluated), classes) + ['', '']


def row(candidates: int, classes: Classes) -> list[str]:
  """Returns the cells that all searches have: candidates, graphs, functions and the share saved.

  Args:
    candidates: the number of candidates.
    classes: the counter to which all their graphs were given.
  """
  saved = 1 - classes.functions / candidates if candidates else 0.
  return [f'{candidates:,}', f'{len(classes.graphs):,}', f'{classes.functions:,}', f'{saved:.1%}']


def main(_):
  """Runs the benchmark and prints its table; the argument, the command line without flags, is not used."""
  table = Table(title='What the equivalence cache saves')
  for column in ('search', 'candidates', 'graphs', 'functions', 'saved', 'redrawn', 'ms a proposal'):
    table.add_column(column, justify='left' if column == 'search' else 'right')
  for model_dir in _JOURNALS.value:
    table.add_row(Text(model_dir), *recorded(model_dir))
  evolution = TournamentEvolution(_WINDOW.value, _FRACTION.value)
  for name, strategy in () if _JOURNALS.value else (('evolution', evolution), ('random', RandomSearch())):
    for redrawn, equivalents in (('nothing', None), ('identical graphs', Graphs()), ('equivalents', Equivalents())):
      table.add_row(f'{name}, {redrawn} redrawn', *search(strategy, equivalents))
  Console(width=120).print(table)


if __name__ == '__main__':
  app.run(main)
