"""The collision audit: whether graphs that `equivalence` takes for the same layer really are, on fresh probes.

A pair that disagrees is computed again in extended precision and from inputs that differ in the thirteenth digit: where
a graph's own values then move by as much as the two were apart, they are rounding errors, as of the deviation of values
that are all equal.
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

# Channels, groups and ε of the fresh probes, none those of the fingerprint but the layers' ε.
_SETTINGS = (10, 3, EPSILON), (7, 2, EPSILON), (24, 32, EPSILON), (15, 6, EPSILON), (9, 5, .1), (16, 4, .02)
_REPEATS = 12  # of the inputs with another thirteenth digit


@dataclasses.dataclass
class Audit:
  """What an audit found.

  Attributes:
    draws: random graphs that were drawn.
    graphs: those that were compared: N.
    identical: graphs that equal an earlier one but for dead nodes.
    same_form: graphs that only have the canonical form of an earlier one.
    same_fingerprint: graphs that only have the fingerprint of an earlier one.
    rounding: pairs whose difference on fresh probes was rounding.
    false_merges: pairs that are not the same function after all.
    seconds: spent on finding equivalents; drawing, filtering and the comparison on fresh probes apart.
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
    """The pairs of a graph and the first one of its class that were compared on fresh probes."""
    return self.same_form + self.same_fingerprint

  @property
  def classes(self) -> int:
    """Distinct functions."""
    return self.graphs - self.identical - self.pairs


def run_audit(graphs: int, space: SearchSpace = SearchSpace(), seed: int = 0, is_filtered: bool = True,
              track: Callable[[Iterable[int]], Iterable[int]] = iter) -> Audit:
  """Draws random graphs, finds the equivalent ones, and compares each with the first one of its class.

  Args:
    graphs: how many.
    space: where they are drawn from.
    seed: of the graphs and, together with others, of the fresh probes.
    is_filtered: whether only graphs that pass the static filter count, as in a search.
    track: shows how far the graphs are.
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
  """Counts a pair. The graphs are compared as they are, so that the rules of the canonical form are on trial too."""
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
  """Whether two graphs differ on the probes by more than the tolerance, where neither's values are rounding errors."""
  rng = np.random.default_rng(0)
  again = [[probe.extended() for probe in probes]]
  again += [[probe.perturbed(rng) for probe in probes] for _ in range(_REPEATS)]
  first = [fingerprint(graph, probes) for graph in (a, b)]
  difference = np.abs(first[0].values - first[1].values)
  differs = difference > first[0].tolerance
  for print_, graph in zip(first, (a, b)):
    for repeated in again:
      differs &= np.abs(fingerprint(graph, repeated).values - print_.values) < difference / 4
  return bool(differs.any())


def audit_table(audit: Audit) -> Table:
  """The audit's figures as a table for the terminal."""
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
