"""The collision audit: checks on fresh probes that graphs merged by `equivalents` really are the same layer.

A pair that disagrees is computed again in extended precision and from inputs that differ in the thirteenth digit. Where
a graph's own values then move by as much as the two were apart, they are rounding errors, such as the deviation of
values that are all equal.
"""

from collections.abc import Callable
from collections.abc import Iterable
import dataclasses
import functools
import time

import numpy as np
from rich import box
from rich.table import Table

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.primitives import EPSILON
from search.equivalence.canonical import canonical
from search.equivalence.equivalents import Equivalents
from search.equivalence.fingerprint import Fingerprint
from search.equivalence.fingerprint import fingerprint
from search.equivalence.fingerprint import make_probes
from search.equivalence.fingerprint import Probe
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection

# Channels, groups and ε of the fresh probes; they share only the layers' ε with the fingerprint's.
_SETTINGS = (10, 3, EPSILON), (7, 2, EPSILON), (24, 32, EPSILON), (15, 6, EPSILON), (9, 5, .1), (16, 4, .02)
_REPEATS = 12  # of the inputs with another thirteenth digit


@dataclasses.dataclass
class Audit:
  """The result of an audit.

  Attributes:
    draws: the number of random graphs that were drawn.
    graphs: the number of graphs that were compared.
    identical: graphs that equal an earlier one except for dead nodes.
    same_form: other graphs that have the canonical form of an earlier one.
    same_fingerprint: other graphs that have the fingerprint of an earlier one.
    rounding: pairs whose difference on fresh probes was rounding.
    false_merges: pairs that are not the same function after all.
    seconds: the time spent on finding equivalents, without drawing, filtering and the comparison on fresh probes.
  """
  draws: int = 0
  graphs: int = 0
  identical: int = 0
  same_form: int = 0
  same_fingerprint: int = 0
  rounding: int = 0
  false_merges: list[tuple[LayerGraph, LayerGraph]] = dataclasses.field(default_factory=list)
  seconds: float = 0.

  @property
  def pairs(self) -> int:
    """The number of pairs compared on fresh probes: a graph and the first of its class."""
    return self.same_form + self.same_fingerprint

  @property
  def classes(self) -> int:
    """The number of distinct functions."""
    return self.graphs - self.identical - self.pairs


def run_audit(graphs: int, space: SearchSpace = SearchSpace(), seed: int = 0, is_filtered: bool = True,
              track: Callable[[Iterable[int]], Iterable[int]] = iter) -> Audit:
  """Draws random graphs, finds the equivalent ones, and compares each with the first one of its class.

  Args:
    graphs: the number of graphs.
    space: the search space that they are drawn from.
    seed: of the graphs and of the fresh probes.
    is_filtered: whether only graphs that pass the static filter count, as in a search.
    track: wraps the numbers of the graphs, to show the progress.

  Returns:
    What was found.

  Raises:
    ArgumentError: if `graphs` is not positive.
  """
  if graphs < 1:
    raise ArgumentError(f'`graphs` must be at least 1, received {graphs}.')
  rng = np.random.default_rng(seed)
  fresh = make_probes([seed, 1], _SETTINGS)
  audit, equivalents, first, members = Audit(graphs=graphs), Equivalents(), {}, set()
  for number in track(range(graphs)):
    graph = _draw(space, rng, is_filtered, audit)
    if graph in members:
      audit.identical += 1
      continue
    members.add(graph)
    start = time.perf_counter()
    key = equivalents.find(graph)
    if key is None:
      equivalents.add(graph, number)
      first[number] = graph
    audit.seconds += time.perf_counter() - start
    if key is not None:
      _compare(graph, first[key], fresh, audit)
  return audit


def _draw(space: SearchSpace, rng: np.random.Generator, is_filtered: bool, audit: Audit) -> LayerGraph:
  """Draws a random graph, without its dead nodes."""
  while True:
    graph = random_graph(space, rng)
    audit.draws += 1
    if not is_filtered or static_rejection(graph) is None:
      return graph.without_dead_nodes()


def _compare(graph: LayerGraph, first: LayerGraph, fresh: tuple[Probe, ...], audit: Audit) -> None:
  """Counts a pair. The graphs are compared as they are, so that the rules of the canonical form are tested too."""
  if canonical(graph) == canonical(first):
    audit.same_form += 1
  else:
    audit.same_fingerprint += 1
  prints = [_fresh_fingerprint(g, fresh) for g in (first, graph)]
  if prints[0].agrees(prints[1]):
    return
  if differ_beyond_rounding(first, graph, fresh):
    audit.false_merges.append((first, graph))
  else:
    audit.rounding += 1


@functools.lru_cache(maxsize=4096)
def _fresh_fingerprint(graph: LayerGraph, fresh: tuple[Probe, ...]) -> Fingerprint:
  return fingerprint(graph, fresh)


def differ_beyond_rounding(a: LayerGraph, b: LayerGraph, probes: tuple[Probe, ...]) -> bool:
  """Returns whether two graphs differ on the probes by more than the tolerance, rounding errors of either left out."""
  rng = np.random.default_rng(0)
  again = [tuple(probe.extended() for probe in probes)]
  again += [tuple(probe.perturbed(rng) for probe in probes) for _ in range(_REPEATS)]
  first = [fingerprint(graph, probes) for graph in (a, b)]
  difference = np.abs(first[0].values - first[1].values)
  differs = difference > first[0].tolerance
  for print_, graph in zip(first, (a, b)):
    for repeated in again:
      differs &= np.abs(fingerprint(graph, repeated).values - print_.values) < difference / 4
  return bool(differs.any())


def audit_table(audit: Audit) -> Table:
  """Returns the figures of an audit as a table for the terminal."""
  table = Table(title='Collision audit of the equivalence cache', title_style='bold', box=box.HORIZONTALS)
  table.add_column('graphs')
  table.add_column('', justify='right')
  for title, value in (
      ('random graphs drawn', audit.draws), ('compared', audit.graphs), ('distinct functions', audit.classes),
      ('identical to an earlier one but for dead nodes', audit.identical),
      ('of the canonical form of an earlier one', audit.same_form),
      ('of the fingerprint of an earlier one', audit.same_fingerprint), ('pairs on fresh probes', audit.pairs),
      ('of which different by rounding', audit.rounding), ('false merges', len(audit.false_merges)),
      ('found or added, a second', round((audit.graphs - audit.identical) / audit.seconds))):
    table.add_row(title, f'{value:,}')
  return table
