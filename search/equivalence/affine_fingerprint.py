"""The affine fingerprint of a layer graph: what training can tell of its layer, which γ and β scale and shift anyway.

Two layers are one if one's output is the other's, channel by channel, times a factor plus a term that depend on v0 and
v1 alone: γ and β take both up. A factor or a term that changes with the batch is normalization and makes another layer.

A probe holds several batches for each of several v0 and v1: two in training, and one in inference, where moments over
the batch are moving averages of those of the two others. A channel's values in all three are centred on their median
and divided by their mean distance from it, which removes factor and term, and get the sign that makes their product
with a fixed random vector positive. What remains is the fingerprint. It is taken where training begins, at v0 = 0 and
v1 = 1, and at random v0 and v1, these with all combinations of signs.

Decisions, each with its reason:
- The sign of v0 may differ, as in tanh(x − v0) and tanh(x + v0): v0 starts at 0, so that both train alike, mirrored.
  The sign of v1 may differ only where the two layers agree at v1 = 1, from where v1 starts.
- A vector whose gradient is exactly 0 where it starts never moves, as v0 in tanh(x + v0²), tanh(x + |v0|) or
  tanh(x + s(v0)), which are tanh(x). It is held at its initial value (see `frozen_vectors`).
- A factor that is far from 1, or a term far from 0, where training begins makes another start: v0·tanh(x) does not
  learn at first, and 10·tanh(x) or tanh(x) + 100 may blow up. `Start.is_near` says which starts count as one.
- The initial value of a moving average has no weight. After a training it has none: 0.9²⁰⁰ is 7e-10.
- A value that is not finite is only known as such. Layers that overflow at the same elements may still be told apart by
  the others.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import itertools

import numpy as np

from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.equivalence.fingerprint import INPUTS
from search.equivalence.fingerprint import SETTINGS
from search.equivalence.frozen_vectors import frozen_vectors

TOLERANCE = 1e-6  # of a value in units of the channel's mean distance from its median, and relative to the value
ELEMENTS = 40  # the number of elements of each distribution of inputs, and each v0 and v1, that a fingerprint holds
FARTHEST_FACTOR = 3.  # the largest factor, or its reciprocal, between two starts that count as one
FARTHEST_TERM = 3.  # the largest term between them, in standard deviations of the output
VECTORS = frozenset(('v0', 'v1'))
SIGNS = tuple(itertools.product((1., -1.), repeat=2))  # of v0 and v1
_SHAPE = 2, 3, 4  # samples, height and width of a batch
_BATCHES = 3  # two in training and one in inference
_WEIGHTS = .4, .6  # of the two batches in a moving average
_NO_DEVIATION = 1e-12  # a channel that varies by less than this, relative to its magnitude, is constant


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
  """The inputs of one setting: batches of several distributions, each for several v0 and v1.

  The first axis of all arrays stands for distribution, vectors, batch and sample, in this order.

  Attributes:
    groups: the number of channel groups.
    epsilon: ε of the guards and moments.
    batches: the shape of that axis.
    x: the inputs, [samples, height, width, channels].
    v0, v1: the vectors of each sample, [samples, 1, 1, channels].
    directions: the random vectors whose product with a channel's values gives the sign, [values, channels].
    elements: for each distribution, the indices into its values and channels that a fingerprint holds, [ELEMENTS].
  """
  groups: int
  epsilon: float
  batches: tuple[int, int, int, int]
  x: np.ndarray
  v0: np.ndarray
  v1: np.ndarray
  directions: np.ndarray
  elements: np.ndarray

  def held(self, names: frozenset[str]) -> 'Probe':
    """Returns the probe with the named vectors, of 'v0' and 'v1', at their initial values 0 and 1.

    Args:
      names: the vectors.
    """
    return dataclasses.replace(self, v0=np.zeros_like(self.v0) if 'v0' in names else self.v0,
                               v1=np.ones_like(self.v1) if 'v1' in names else self.v1)


def make_probe(channels: int, groups: int, epsilon: float, rng: np.random.Generator) -> tuple[Probe, Probe]:
  """Draws the two probes of a setting: where training begins, and at random v0 and v1 with all `SIGNS`.

  Args:
    channels: the number of channels, at least 2.
    groups: the number of channel groups; where it does not divide `channels`, the largest smaller number that does.
    epsilon: ε of the guards and moments.
    rng: the source of all randomness.
  """
  batches = np.stack([[_batch(values, channels, rng) for _ in range(_BATCHES)] for values in INPUTS])
  vectors = [_vector((len(INPUTS), 1, 1, 1, channels), epsilon, rng) for _ in range(2)]
  directions = rng.normal(size=(batches[0, ..., 0].size, channels))
  elements = np.stack([rng.choice(directions.size, ELEMENTS, replace=False) for _ in INPUTS])

  def probe(v0s, v1s):
    count = len(v0s)
    shape = len(INPUTS), count, _BATCHES, _SHAPE[0]
    x = np.repeat(batches[:, np.newaxis], count, 1).reshape(-1, *_SHAPE[1:], channels)
    spread = lambda vectors: np.broadcast_to(np.stack(vectors, 1), (*shape, channels)).reshape(-1, 1, 1, channels)
    return Probe(groups, epsilon, shape, x, spread(v0s), spread(v1s), directions, elements)

  start = np.zeros_like(vectors[0]), np.ones_like(vectors[1])
  return probe([start[0][:, 0]], [start[1][:, 0]]), probe(
      [s * vectors[0][:, 0] for s, _ in SIGNS], [s * vectors[1][:, 0] for _, s in SIGNS])


def _batch(values: Callable[..., np.ndarray], channels: int, rng: np.random.Generator) -> np.ndarray:
  """Draws a batch with some exact zeros, of a scale of its own, so that its moments differ from another batch's."""
  x = values((*_SHAPE, channels), rng) * rng.uniform(.5, 2.)
  return x * (rng.random(x.shape) >= .1)


def _vector(shape: Sequence[int], epsilon: float, rng: np.random.Generator) -> np.ndarray:
  """Draws v0 or v1, of random signs and different in each channel.

  With the layers' ε, magnitudes are from 0.005 to 3, evenly in the logarithm; exp(exp(4)) would absorb what it is added
  to. With a larger ε, which shows what guards do to x, they are from 0.3 to 2, where no guard acts on v0 and v1; that
  of the layers acts on hardly any.
  """
  low, high = (.005, 3.) if epsilon == primitives.EPSILON else (.3, 2.)
  return np.exp(rng.uniform(np.log(low), np.log(high), shape)) * rng.choice((-1., 1.), shape)


_RNG = np.random.default_rng(1)
PROBES = tuple(make_probe(*setting, _RNG) for setting in SETTINGS)
_UNIT, _UNIT_DIRECTION = _RNG.normal(size=(2, 4, 4, 4, 8))


@dataclasses.dataclass(frozen=True)
class Start:
  """The output of a layer where training begins, on normal inputs with mean 0 and variance 1.

  Attributes:
    deviation: the output's standard deviation, with the sign of its product with a fixed random vector; 0 if the output
      is constant or not finite.
    mean: the output's mean; 0 likewise.
  """
  deviation: float
  mean: float

  def is_near(self, other: 'Start') -> bool:
    """Returns whether training from here and from another start is the same, as far as factor and term go.

    The factor between the two must lie from 1 / `FARTHEST_FACTOR` to `FARTHEST_FACTOR`, and the term be at most
    `FARTHEST_TERM` standard deviations. An output that is constant at the start, or not finite, is near to another
    such output alone.

    Args:
      other: the start of a layer with the same fingerprint.
    """
    if not (self.deviation and other.deviation):
      return self.deviation == other.deviation
    factor = self.deviation / other.deviation
    term = abs(self.mean - factor * other.mean)
    return (1 / FARTHEST_FACTOR <= abs(factor) <= FARTHEST_FACTOR and
            term <= FARTHEST_TERM * abs(self.deviation))


@dataclasses.dataclass(frozen=True, eq=False)
class AffineFingerprint:
  """What layers share that differ only by a factor and a term for each channel.

  Attributes:
    at_start: values where training begins, float32 [distributions, ELEMENTS].
    at_random: values at random v0 and v1, float32 [distributions, len(SIGNS), ELEMENTS]; None if they are those at the
      start, so that v0 and v1 matter to factor and term at most.
    start: the output where training begins, by which layers of one fingerprint can still differ.
    magnitude: a number that is nearly the same for fingerprints that agree, which serves to find them.
  """
  at_start: np.ndarray
  at_random: np.ndarray | None
  start: Start
  magnitude: float

  def agrees(self, other: 'AffineFingerprint') -> bool:
    """Returns whether another fingerprint is that of the same layer, up to the signs of v0 and v1, from a near start.

    Args:
      other: the fingerprint of another layer graph.
    """
    return self.is_in_class(other) and self.start.is_near(other.start)

  def is_in_class(self, other: 'AffineFingerprint') -> bool:
    """Returns whether another fingerprint is that of the same layer, up to the signs of v0 and v1, from any start.

    Args:
      other: the fingerprint of another layer graph.
    """
    if not _agree(self.at_start, other.at_start) or (self.at_random is None) != (other.at_random is None):
      return False
    if self.at_random is None or other.at_random is None:
      return True
    orders = ([SIGNS.index((a * s, b * t)) for a, b in SIGNS] for s, t in SIGNS)
    return any(_agree(self.at_random, other.at_random[:, order]) for order in orders)


def _agree(a: np.ndarray, b: np.ndarray) -> bool:
  return bool((np.abs(a - b) <= TOLERANCE * (1. + np.abs(a))).all())


def start_fingerprint(graph: LayerGraph) -> AffineFingerprint:
  """Returns the affine fingerprint of a layer graph whose vectors stay where training begins, at v0 = 0 and v1 = 1.

  Args:
    graph: the layer graph; its dead nodes are ignored.
  """
  return affine_fingerprint(graph, VECTORS)


def affine_fingerprint(graph: LayerGraph, held: frozenset[str] = frozenset()) -> AffineFingerprint:
  """Returns the affine fingerprint of a layer graph.

  Args:
    graph: the layer graph; its dead nodes are ignored.
    held: the vectors, of 'v0' and 'v1', that are held at their initial values beside those that never move (default:
      none).
  """
  graph = graph.without_dead_nodes()
  held |= frozen_vectors(graph)
  has_vectors = any(i in graph.live and name not in held for i, name in ((2, 'v0'), (3, 'v1')))
  at_start, at_random = [], []
  with np.errstate(all='ignore'):
    for begin, later in PROBES:
      at_start.append(_normalized(graph, begin)[:, 0])
      if has_vectors:
        at_random.append(_normalized(graph, later.held(held)))
    start = _start(graph)
  first = np.concatenate(at_start)
  second = np.concatenate(at_random) if at_random else None
  if second is not None and _agree(np.broadcast_to(first[:, np.newaxis], second.shape), second):
    second = None
  magnitude = _magnitude(first) + (_magnitude(second) if second is not None else 0.)
  return AffineFingerprint(first.astype(np.float32), None if second is None else second.astype(np.float32),
                           start, magnitude)


def _magnitude(values: np.ndarray) -> float:
  """Returns Σ ln(1 + Σ|value|) over distributions and vectors, which the order of signs does not change."""
  return float(np.log1p(np.abs(values).sum(-1)).sum())


def _start(graph: LayerGraph) -> Start:
  """Returns the layer's output on the unit inputs, with v0 = 0 and v1 = 1."""
  channels = _UNIT.shape[-1]
  y = np.broadcast_to(graph.evaluate(_UNIT, np.zeros(channels), np.ones(channels), groups=4), _UNIT.shape)
  mean, deviation = float(y.mean()), float(y.std())
  if not (np.isfinite(mean) and np.isfinite(deviation) and deviation > _NO_DEVIATION * abs(mean)):
    return Start(0., 0.)
  return Start(deviation if ((y - mean) * _UNIT_DIRECTION).sum() >= 0. else -deviation, mean)


def _normalized(graph: LayerGraph, probe: Probe) -> np.ndarray:
  """Returns the layer's values without factor, term and sign, [distributions, vectors, ELEMENTS]."""
  y = np.broadcast_to(_run(graph, probe), probe.x.shape)
  y = y.reshape(*probe.batches[:2], -1, y.shape[-1])  # values of the three batches, in each channel
  finite = np.isfinite(y)
  y = np.where(finite.all(2, keepdims=True), y, finite)  # of a channel with infinities, only where they are
  centered = y - np.median(y, 2, keepdims=True)
  deviation = np.abs(centered).mean(2, keepdims=True)
  varies = deviation > _NO_DEVIATION * np.abs(y).mean(2, keepdims=True)
  sign = np.where((centered * probe.directions).sum(2, keepdims=True) < 0., -1., 1.)
  values = np.where(varies, sign * centered / np.where(varies, deviation, 1.), 0.)
  rows = values.reshape(*probe.batches[:2], -1)
  return np.take_along_axis(rows, np.broadcast_to(probe.elements[:, np.newaxis], (*rows.shape[:2], ELEMENTS)), -1)


def _run(graph: LayerGraph, probe: Probe) -> np.ndarray:
  """Returns the layer's output on a probe."""
  values = [probe.x, np.zeros((1, 1, 1, 1)), probe.v0, probe.v1]
  for node in graph.nodes:
    values.append(_node(node, [values[i] for i in node.inputs], probe))
  return values[-1]


def _node(node: Node, arguments: list[np.ndarray], probe: Probe) -> np.ndarray:
  """Returns a node's value: in training on the first two batches, in inference on the third."""
  primitive = primitives.PRIMITIVES[node.primitive]
  guard = {'epsilon': probe.epsilon} if primitive.is_guarded else {}
  if not primitive.is_moment:
    return primitive.numpy_form(*arguments, **guard)
  if node.axes != primitives.BATCH or len(arguments[0]) == 1:  # a constant is the same in each batch
    return primitive.numpy_form(*arguments, node.axes, probe.groups, **guard)
  return _batch_moment(node.primitive, arguments[0], probe)


def _batch_moment(name: str, x: np.ndarray, probe: Probe) -> np.ndarray:
  """Returns a moment over each batch: that of the first two batches, and their moving average for the third."""
  x = x.reshape(*probe.batches, -1, x.shape[-1])
  axes = 3, 4
  if name == 'centered_second_moment':
    x = x - x.mean(axes, keepdims=True)
  moments = (x if name == 'first_moment' else np.square(x)).mean(axes)
  moments[:, :, 2] = _WEIGHTS[0] * moments[:, :, 0] + _WEIGHTS[1] * moments[:, :, 1]
  if name != 'first_moment':
    moments = np.sqrt(moments + probe.epsilon)
  return np.repeat(moments.reshape(-1, 1, 1, moments.shape[-1]), probe.batches[-1], 0)
