"""Comparison of two layer graphs up to a factor and a term for each channel, by a route of its own, for audits.

Both layers run on the same random histories: two training batches and one in inference, with moving averages, where
training begins and at several random v0 and v1. In each channel a line is laid through two points of one layer's output
against the other's, and every other point of the three batches must lie on it. This shares the primitives' formulas
with the affine fingerprint of the equivalence cache (`affine_fingerprint`), and nothing else.

A distance from the line counts only if it is no rounding error: it stays in extended precision, and when inputs change
in the thirteenth digit.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np

from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from search.equivalence.frozen_vectors import frozen_vectors

RELATIVE = 1e-5  # the largest distance from the line, in units of the spread of the output
SIGNS = (1, 1), (-1, 1), (1, -1), (-1, -1)  # of v0 and v1
FACTOR, TERM = 3., 3.  # the largest factor and term, in standard deviations, between two starts that count as one
_SETTINGS = (10, 3, primitives.EPSILON), (7, 2, primitives.EPSILON), (16, 4, .02), (9, 5, .1)  # channels, groups, ε
_WEIGHTS = .3, .7  # of the two training batches in a moving average
_VECTORS = 3  # random v0 and v1 for each setting


@dataclasses.dataclass(frozen=True, eq=False)
class History:
  """Inputs of a layer: two training batches, one in inference, and the vectors.

  Attributes:
    batches: the three batches, arrays [N, H, W, C].
    v0, v1: the vectors, [1, 1, 1, C].
    groups: the number of channel groups.
    epsilon: ε of the guards and moments.
    is_start: whether v0 and v1 are 0 and 1, where training begins.
    is_unit: whether, besides, the inputs are normal with mean 0 and variance 1, and ε is the layers'.
  """
  batches: tuple[np.ndarray, ...]
  v0: np.ndarray
  v1: np.ndarray
  groups: int
  epsilon: float
  is_start: bool
  is_unit: bool = False

  def signed(self, signs: tuple[int, int]) -> 'History':
    """Returns the history with other signs of v0 and v1; where training begins, the history itself."""
    return self if self.is_start else dataclasses.replace(self, v0=signs[0] * self.v0, v1=signs[1] * self.v1)

  def held(self, names: frozenset[str]) -> 'History':
    """Returns the history with the named vectors at 0 (v0) and 1 (v1)."""
    return dataclasses.replace(self, v0=np.zeros_like(self.v0) if 'v0' in names else self.v0,
                               v1=np.ones_like(self.v1) if 'v1' in names else self.v1)

  def extended(self) -> 'History':
    """Returns the history in NumPy's extended precision."""
    return self._map(lambda x: x)

  def perturbed(self, rng: np.random.Generator) -> 'History':
    """Returns the history, in extended precision, with every input changed at random in the thirteenth digit."""
    return self._map(lambda x: x * (1. + 1e-13 * rng.normal(size=x.shape)))

  def _map(self, change) -> 'History':
    return dataclasses.replace(self, batches=tuple(change(b.astype(np.longdouble)) for b in self.batches),
                               v0=self.v0.astype(np.longdouble), v1=self.v1.astype(np.longdouble))


def make_histories(seed: int | list[int]) -> list[History]:
  """Draws histories: a unit one, and for each setting one where training begins and `_VECTORS` at random v0 and v1.

  Args:
    seed: the seed of all randomness.
  """
  rng = np.random.default_rng(seed)
  histories = [History(tuple(rng.normal(size=(3, 4, 4, 8)) for _ in range(3)), np.zeros((1, 1, 1, 8)),
                       np.ones((1, 1, 1, 8)), 4, primitives.EPSILON, is_start=True, is_unit=True)]
  for channels, groups, epsilon in _SETTINGS:
    for number in range(1 + _VECTORS):
      scale = 10 ** rng.uniform(-1., .7, channels)
      shape = 3, 5, 2, channels
      batches = tuple(scale * rng.uniform(.6, 1.6) * rng.standard_t(5, shape) + rng.normal(size=channels)
                      for _ in range(3))
      # Where ε is not the layers', v0 and v1 keep away from the guards, which otherwise act on hardly any.
      low, high = (.01, 3.) if epsilon == primitives.EPSILON else (.3, 1.5)
      vectors = np.exp(rng.uniform(np.log(low), np.log(high), (2, 1, 1, 1, channels)))
      vectors *= rng.choice((-1., 1.), vectors.shape)
      v0, v1 = vectors if number else (np.zeros_like(vectors[0]), np.ones_like(vectors[1]))
      histories.append(History(batches, v0, v1, groups, epsilon, is_start=not number))
  return histories


def outputs(graph: LayerGraph, history: History) -> np.ndarray:
  """Returns the layer's output on the two training batches and in inference, one column for each channel.

  Args:
    graph: the layer graph, without dead nodes.
    history: the inputs.
  """
  moments: list[dict[int, np.ndarray]] = []
  columns = []
  for number, x in enumerate(history.batches):
    moving = None if number < 2 else moments
    with np.errstate(all='ignore'):
      y, found = _evaluate(graph, x, history, moving)
    moments.append(found)
    columns.append(np.broadcast_to(y, x.shape).reshape(-1, x.shape[-1]))
  return np.concatenate(columns)


def _evaluate(graph: LayerGraph, x: np.ndarray, history: History, moving: list[dict[int, np.ndarray]] | None
              ) -> tuple[np.ndarray, dict[int, np.ndarray]]:
  """Returns the output and the moments over the batch by node; given those of two batches, it infers from them."""
  values, found = [x, np.zeros((1, 1, 1, 1)), history.v0, history.v1], {}
  for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
    primitive = primitives.PRIMITIVES[node.primitive]
    axes = (node.axes, history.groups) if primitive.is_moment else ()
    guard = {'epsilon': history.epsilon} if primitive.is_guarded else {}
    value = primitive.numpy_form(*(values[i] for i in node.inputs), *axes, **guard)
    if node.axes == primitives.BATCH:
      if moving is not None:
        power = 1 if node.primitive == 'first_moment' else 2
        value = sum(w * m[index]**power for w, m in zip(_WEIGHTS, moving))**(1 / power)
      found[index] = value
    values.append(value)
  return values[-1], found


def are_one_layer(a: LayerGraph, b: LayerGraph, histories: list[History]) -> bool | None:
  """Returns whether two layer graphs are one layer for training, up to factor, term, and signs of v0 and v1.

  Args:
    a, b: the layer graphs.
    histories: the result of `make_histories`.

  Returns:
    True or False; None if rounding errors hide it.
  """
  a, b = a.without_dead_nodes(), b.without_dead_nodes()
  held = frozen_vectors(a), frozen_vectors(b)
  verdicts = []
  for signs in SIGNS:
    verdicts.append(_agree(a, b, histories, held, signs))
    if verdicts[-1]:
      return True
  return None if None in verdicts else False


def earlier_twins(graphs: Sequence[LayerGraph], seed: int = 0) -> list[int | None]:
  """Returns for each layer graph the position of the first earlier one that is the same layer; None if there is none.

  Pairs whose outputs on the unit history correlate perfectly in each channel are compared by `are_one_layer`.

  Args:
    graphs: the layer graphs.
    seed: the seed of the histories (default 0).
  """
  histories = make_histories([seed, 2])
  similar = _correlated([outputs(g.without_dead_nodes(), histories[0]) for g in graphs])
  return [next((j for j in np.flatnonzero(similar[i, :i]).tolist() if are_one_layer(graphs[j], graphs[i], histories)),
               None) for i in range(len(graphs))]


def _correlated(values: Sequence[np.ndarray]) -> np.ndarray:
  """Returns whether outputs correlate perfectly in each channel, or are not finite: booleans [outputs, outputs]."""
  if not values:
    return np.zeros((0, 0), bool)
  y = np.stack(values)
  is_finite = np.isfinite(y).all((1, 2))
  y = np.where(is_finite[:, np.newaxis, np.newaxis], y, 0.)
  y = y - y.mean(1, keepdims=True)
  y /= np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1e-300)
  similar = np.zeros((len(y), len(y)), bool)
  for row in range(len(y)):  # one by one, for all together would take 64 bytes a pair
    correlation = np.abs(np.einsum('pc,jpc->jc', y[row], y, optimize=True)).min(-1)
    similar[row] = np.where(is_finite[row] & is_finite, (correlation > 1 - 1e-6) | (correlation < 1e-6),
                            is_finite[row] == is_finite)
  return similar


def _agree(a: LayerGraph, b: LayerGraph, histories: list[History], held, signs: tuple[int, int]) -> bool | None:
  """Returns whether the layers agree on all histories with these signs of v0 and v1; None if rounding hides it."""
  unknown = False
  for history in histories:
    first, second = history.held(held[0]), history.signed(signs).held(held[1])
    y, z = outputs(a, first), outputs(b, second)
    if history.is_unit and not _start_alike(y, z):
      return False
    distance = _distance(y, z)
    hidden = _is_absorbed(y) | _is_absorbed(z)
    unknown |= bool((hidden & (distance > RELATIVE)).any())
    far = (distance > RELATIVE) & ~hidden
    if far.any():
      if (far & ~_is_rounding(a, b, first, second, distance)).any():
        return False
      unknown = True
  return None if unknown else True


def _is_rounding(a: LayerGraph, b: LayerGraph, first: History, second: History, distance: np.ndarray) -> np.ndarray:
  """Returns whether distances from the line move by a quarter or more with the precision and the thirteenth digit."""
  moves = np.zeros(distance.shape, bool)
  for seed in range(3):
    pair = [h.extended() if not seed else h.perturbed(np.random.default_rng(seed)) for h in (first, second)]
    again = _distance(outputs(a, pair[0]), outputs(b, pair[1]))
    moves |= ~(np.abs(again - distance) < distance / 4)
  return moves


def _start_alike(y: np.ndarray, z: np.ndarray) -> bool:
  """Returns whether the outputs differ by a factor near 1 and a term near 0, within a tenth of the bounds."""
  if not (np.isfinite(y).all() and np.isfinite(z).all()):
    return bool((np.isfinite(y) == np.isfinite(z)).all())
  if not (y.std() and z.std()):
    return y.std() == z.std()
  factor = z.std() / y.std()
  term = abs(z.mean() - np.sign(np.vdot(y - y.mean(), z - z.mean())) * factor * y.mean()) / z.std()
  return bool(1 / FACTOR <= 1.1 * factor and factor <= 1.1 * FACTOR and term <= 1.1 * TERM)


def _distance(y: np.ndarray, z: np.ndarray) -> np.ndarray:
  """Returns the largest distance from a line through two points of one output against the other, by channel.

  Infinities must be at the same places. Distances are in units of the output's spread, and the larger of both
  directions counts. A constant channel is at distance 0 from another constant channel, and at 1 from any other.
  """
  is_finite = np.isfinite(y).all(0) & np.isfinite(z).all(0)
  same_infinities = (np.isfinite(y) == np.isfinite(z)).all(0)
  y, z = np.where(is_finite, y, 0.), np.where(is_finite, z, 0.)
  return np.where(is_finite, np.maximum(_from_line(y, z), _from_line(z, y)), np.where(same_infinities, 0., 1.))


def _from_line(y: np.ndarray, z: np.ndarray) -> np.ndarray:
  columns = np.arange(y.shape[1])
  order = np.argsort(y, 0)
  low, high = (order[int(q * (len(y) - 1))] for q in (.2, .8))
  # More than half of the values are equal, but for rounding: take the ends instead.
  ties = y[high, columns] - y[low, columns] <= 1e-9 * _spread(y)
  low, high = np.where(ties, order[0], low), np.where(ties, order[-1], high)
  run, rise = y[high, columns] - y[low, columns], z[high, columns] - z[low, columns]
  line = z[low, columns] + rise / np.where(run == 0., 1., run) * (y - y[low, columns])
  # Relative to the spread, and for values far outside of it relative to them.
  scale = _spread(z) + np.abs(z - z[low, columns])
  distance = (np.abs(z - line) / np.where(scale == 0., 1., scale)).max(0)
  return np.where(_varies(y), distance, np.where(_varies(z), 1., 0.))


def _is_absorbed(y: np.ndarray) -> np.ndarray:
  """Returns whether each channel consists of values so large and so nearly equal that they may have absorbed others."""
  with np.errstate(invalid='ignore', over='ignore'):
    largest = np.abs(y).max(0, initial=0.)
    return (largest > 1e5) & (_spread(y) < 1e-9 * largest)


def _spread(y: np.ndarray) -> np.ndarray:
  return np.abs(y - np.median(y, 0)).mean(0)


def _varies(y: np.ndarray) -> np.ndarray:
  """Returns whether each channel varies by more than rounding errors of its values, or of numbers near 1."""
  return _spread(y) > np.maximum(1e-12 * np.abs(y).max(0, initial=0.), 1e-14)
