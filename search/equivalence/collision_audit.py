"""The collision audit: checks that layer graphs which the equivalence cache merges really are the same layer.

The cache is `search.equivalence.equivalents`. The audit compares merged graphs on other random inputs than those of the
cache's fingerprints: those that count as one layer up to factor and term by `affine_comparison`, also where training
begins alone, and those that count as one function on fresh probes. A pair that disagrees there is computed again, in
extended precision and from inputs changed in the thirteenth digit. A value that then moves by a quarter of the
difference or more, in either graph, consists of rounding errors, such as the standard deviation of values that are all
equal, and is left out.
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
from search.equivalence.affine_comparison import are_one_layer
from search.equivalence.affine_comparison import make_histories
from search.equivalence.canonical import canonical
from search.equivalence.equivalents import AFFINE
from search.equivalence.equivalents import Equivalents
from search.equivalence.equivalents import EXACT
from search.equivalence.equivalents import START
from search.equivalence.fingerprint import Fingerprint
from search.equivalence.fingerprint import fingerprint
from search.equivalence.fingerprint import make_probes
from search.equivalence.fingerprint import Probe
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection

# Channels, groups and ε of the fresh probes. They have only the layers' ε in common with the probes of fingerprints.
_SETTINGS = (10, 3, EPSILON), (7, 2, EPSILON), (24, 32, EPSILON), (15, 6, EPSILON), (9, 5, .1), (16, 4, .02)
_REPEATS = 12  # the number of times that inputs are changed in the thirteenth digit


@dataclasses.dataclass
class Audit:
  """The result of a collision audit.

  Graphs that the cache considers equivalent form a class. A pair is a graph and the first graph of its class.

  Attributes:
    draws: the number of random graphs that were drawn, including those that the static filter rejected (default 0).
    graphs: the number of graphs that were tested (default 0).
    identical: the number of graphs that equal an earlier one except for dead nodes; they form no pairs (default 0).
    same_form: the number of pairs with the same canonical form (default 0).
    same_fingerprint: the number of pairs with different canonical forms, merged by a fingerprint (default 0).
    rounding: the number of pairs that differ on fresh inputs only by rounding errors (default 0).
    false_merges: the pairs that are not the same layer after all, the first of the class first (default: none).
    seconds: the time that the cache took in seconds, without drawing, filtering and comparing graphs (default 0).
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
    """The number of pairs that were compared on fresh inputs."""
    return self.same_form + self.same_fingerprint

  @property
  def classes(self) -> int:
    """The number of classes: distinct layers, if no merge is false."""
    return self.graphs - self.identical - self.pairs


def run_audit(graphs: int, space: SearchSpace = SearchSpace(), seed: int = 0, is_filtered: bool = True,
              track: Callable[[Iterable[int]], Iterable[int]] = iter, same_layer: str = AFFINE) -> Audit:
  """Audits the equivalence cache `Equivalents` on random layer graphs.

  A graph that the cache considers equivalent to earlier ones is compared with the first of these on random inputs that
  the cache does not use.

  Args:
    graphs: the number of graphs to test, at least 1.
    space: the search space from which graphs are drawn (default: the full space with 10 intermediate nodes).
    seed: the seed of the graphs and of the fresh probes (default 0).
    is_filtered: whether graphs that the static filter rejects are drawn again, as in a search (default True).
    track: a function that iterates over the numbers it is given, such as `rich.progress.track`, which shows the
      progress (default: show none).
    same_layer: what counts as one layer, 'affine' (default), 'exact' or 'start'; see `search.equivalence.equivalents`.

  Returns:
    The counts of the audit, and the pairs of graphs that the cache considers equivalent although they are not.

  Raises:
    ArgumentError: if `graphs` is less than 1, or `same_layer` is none of the three.
  """
  if graphs < 1:
    raise ArgumentError(f'`graphs` must be at least 1, received {graphs}.')
  rng = np.random.default_rng(seed)
  agree = _exact_agreement(seed) if same_layer == EXACT else _affine_agreement(seed, same_layer == START)
  audit, equivalents, first, members = Audit(graphs=graphs), Equivalents(same_layer), {}, set()
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
      _compare(graph, first[key], agree, audit)
  return audit


def _draw(space: SearchSpace, rng: np.random.Generator, is_filtered: bool, audit: Audit) -> LayerGraph:
  """Draws a random graph, counts the draws in `audit`, and returns the graph without its dead nodes."""
  while True:
    graph = random_graph(space, rng)
    audit.draws += 1
    if not is_filtered or static_rejection(graph) is None:
      return graph.without_dead_nodes()


def _compare(graph: LayerGraph, first: LayerGraph, agree: Callable[[LayerGraph, LayerGraph], bool | None],
             audit: Audit) -> None:
  """Compares a graph with the first of its class, and counts the pair in `audit`.

  The graphs are compared as drawn, so that the rules of the canonical form are tested too.
  """
  if canonical(graph) == canonical(first):
    audit.same_form += 1
  else:
    audit.same_fingerprint += 1
  verdict = agree(first, graph)
  if verdict is None:
    audit.rounding += 1
  elif not verdict:
    audit.false_merges.append((first, graph))


def _affine_agreement(seed: int, only_start: bool) -> Callable[[LayerGraph, LayerGraph], bool | None]:
  histories = [history for history in make_histories([seed, 1]) if history.is_start or not only_start]
  return lambda a, b: are_one_layer(a, b, histories)


def _exact_agreement(seed: int) -> Callable[[LayerGraph, LayerGraph], bool | None]:
  fresh = make_probes([seed, 1], _SETTINGS)

  def agree(a: LayerGraph, b: LayerGraph) -> bool | None:
    if _fresh_fingerprint(a, fresh).agrees(_fresh_fingerprint(b, fresh)):
      return True
    return False if differ_beyond_rounding(a, b, fresh) else None

  return agree


@functools.lru_cache(maxsize=4096)
def _fresh_fingerprint(graph: LayerGraph, fresh: tuple[Probe, ...]) -> Fingerprint:
  return fingerprint(graph, fresh)


def differ_beyond_rounding(a: LayerGraph, b: LayerGraph, probes: tuple[Probe, ...]) -> bool:
  """Returns whether two layer graphs differ on the probes by more than the tolerance and more than rounding errors.

  Both graphs are also computed in extended precision and from slightly changed inputs. A difference in an element
  counts only if the element moves by less than a quarter of it each time, in both graphs.

  Args:
    a, b: the layer graphs.
    probes: the probes on which they are compared.
  """
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
  """Returns the figures of an audit as a table for the terminal.

  Args:
    audit: the result of `run_audit`.
  """
  table = Table(title='Collision audit of the equivalence cache', title_style='bold', box=box.HORIZONTALS)
  table.add_column('graphs')
  table.add_column('', justify='right')
  for title, value in (
      ('random graphs drawn', audit.draws), ('compared', audit.graphs), ('distinct layers', audit.classes),
      ('identical to an earlier one but for dead nodes', audit.identical),
      ('of the canonical form of an earlier one', audit.same_form),
      ('of the fingerprint of an earlier one', audit.same_fingerprint), ('pairs on fresh inputs', audit.pairs),
      ('of which different by rounding', audit.rounding), ('false merges', len(audit.false_merges)),
      ('found or added, a second', round((audit.graphs - audit.identical) / audit.seconds))):
    table.add_row(title, f'{value:,}')
  return table
