"""The functional fingerprint of a layer graph: the values of its layer on random probes, in float64 NumPy.

A probe is a short history of the layer, which must show every difference that matters in training:
- the value and a directional derivative with respect to x, v0 and v1 where training begins, at v0 = 0 and v1 = 1;
- the values in training on two batches, each with other random v0 and v1, because these are trainable;
- the value in inference after these batches, with the moving average that every moment over the batch has by then.
The probes differ in distribution, groups and ε. Inputs have exact zeros, as a depthwise convolution of zeros gives.
They have none where the derivative is taken, because a subgradient at 0 that few positions meet makes no difference.

Two fingerprints agree within a tolerance: rounding to cells could separate values that rounding errors have moved.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from evonorm_tf.graph import primitives
from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.equivalence.tangents import tangent

RELATIVE = 1e-8  # of each element: far above the rounding of float64, below that of a float32 training
ABSOLUTE = 1e-9  # of a tensor's median magnitude: where terms cancel, rounding is not small against the element
ELEMENTS = 40  # kept of each tensor
_WEIGHTS = .36, .24, .4  # in a moving average: of its initial value, of the first and of the second batch
_LARGEST, _NAN = 1e290, 1e300  # stand for larger values, and for NaN


@dataclasses.dataclass(frozen=True)
class _Input:
  """The initial nodes' values."""
  x: np.ndarray
  v0: np.ndarray
  v1: np.ndarray

  @property
  def values(self) -> tuple[np.ndarray, ...]:
    return self.x, np.zeros((1,) * self.x.ndim, self.x.dtype), self.v0, self.v1

  def extended(self) -> '_Input':
    return _Input(*(v.astype(np.longdouble) for v in (self.x, self.v0, self.v1)))

  def perturbed(self, rng: np.random.Generator) -> '_Input':
    return dataclasses.replace(self, x=self.x * (1. + 1e-13 * rng.normal(size=self.x.shape)))


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
  """A history of a layer. All of its inputs have the same number of channels.

  Attributes:
    groups: the number of channel groups.
    epsilon: of the guards. With the layers' own ε, random numbers hardly ever meet a guard; graphs that are equal for
      any ε are equal there too.
    start: an input where training begins.
    direction: the direction of the derivative there.
    batches: two training batches, each with its own v0 and v1.
    inference: the input of inference.
    elements: the indices of the elements of the flattened tensors that are kept.
  """
  groups: int
  epsilon: float
  start: _Input
  direction: _Input
  batches: tuple[_Input, _Input]
  inference: _Input
  elements: np.ndarray

  def extended(self) -> 'Probe':
    """Returns the same probe in extended precision."""
    return self._map(_Input.extended)

  def perturbed(self, rng: np.random.Generator) -> 'Probe':
    """Returns a copy of the probe with x changed in its last digits; v0 and v1 keep their initial values."""
    return self._map(lambda given: given.perturbed(rng))

  def _map(self, change: Callable[[_Input], _Input]) -> 'Probe':
    return dataclasses.replace(self, start=change(self.start), direction=change(self.direction),
                               batches=(change(self.batches[0]), change(self.batches[1])),
                               inference=change(self.inference))


def _even(shape, rng):
  """All channels of one magnitude, with a mean and deviation of their own."""
  normal = rng.normal(size=shape) * rng.uniform(.5, 2., shape[-1]) + rng.normal(size=shape[-1])
  return normal * 10 ** rng.uniform(-1.5, .5)


def _uneven(shape, rng):
  """Channels between 1e-4 and 10: small moments, for which ε matters, beside large ones."""
  return rng.normal(size=shape) * 10 ** rng.uniform(-4, 1, shape[-1])


def _extreme(shape, rng):
  """Elements between 1e-7 and 100, evenly in the logarithm: some within a guard, some that saturate, some between."""
  exponents = rng.permutation(np.linspace(-7, 2, math.prod(shape))).reshape(shape)
  return rng.choice((-1., 1.), shape) * 10 ** exponents


def _sparse(shape, rng):
  """A few elements that are far larger than the moments."""
  return rng.normal(size=shape) * np.where(rng.random(shape) < .05, rng.uniform(3, 10), .05)


SETTINGS = (6, 4, primitives.EPSILON), (8, 2, .2), (12, 9, .05)  # groups that divide the channels, or do not
INPUTS = _even, _uneven, _extreme, _sparse


def _vector(values, channels, rng):
  """v0 or v1: a vector over channels that varies about 0 or about another value."""
  shape = 1, 1, 1, channels
  return values(shape, rng) + rng.choice((0., 1.)) * rng.normal() * 10 ** rng.uniform(-2, 1)


def make_probe(channels: int, groups: int, epsilon: float, values: Callable[..., np.ndarray],
               rng: np.random.Generator) -> Probe:
  """Draws a probe.

  Args:
    channels: the number of channels.
    groups: the number of channel groups.
    epsilon: of the guards.
    values: draws inputs of a shape, one of `INPUTS`.
    rng: all randomness.
  """
  def draw(shape, zeros=.1):
    x = values((*shape, channels), rng)
    return _Input(x * (rng.random(x.shape) >= zeros), *(_vector(values, channels, rng) for _ in range(2)))

  initial = np.zeros((1, 1, 1, channels)), np.ones((1, 1, 1, channels))
  start = _Input(draw((2, 3, 4), zeros=0.).x, *initial)
  direction = _Input(*(rng.normal(size=v.shape) for v in (start.x, *initial)))
  return Probe(groups, epsilon, start, direction, (draw((2, 4, 3)), draw((3, 2, 4))), draw((2, 3, 4)),
               np.sort(rng.choice(start.x.size, ELEMENTS, replace=False)))


def make_probes(seed: int | Sequence[int], settings: Sequence[tuple[int, int, float]] = SETTINGS) -> tuple[Probe, ...]:
  """Draws a probe of each kind of input for each of the settings.

  Args:
    seed: of all randomness.
    settings: channels, groups and ε.
  """
  rng = np.random.default_rng(seed)
  return tuple(make_probe(*setting, values, rng) for setting in settings for values in INPUTS)


PROBES = make_probes(0)


@dataclasses.dataclass(frozen=True, eq=False)
class Fingerprint:
  """The values that equivalent graphs share up to rounding.

  Attributes:
    values: [tensors, elements], none infinite or NaN.
    magnitude: logarithms of magnitudes, summed over the probes; close to that of fingerprints that agree.
  """
  values: np.ndarray
  magnitude: float

  @property
  def tolerance(self) -> np.ndarray:
    """The largest difference from the elements of an equal fingerprint: [tensors, elements]."""
    magnitudes = np.abs(self.values)
    return RELATIVE * magnitudes + ABSOLUTE * np.median(magnitudes, 1, keepdims=True)

  def agrees(self, other: 'Fingerprint') -> bool:
    """Returns whether the two are equal within the tolerance."""
    return bool((np.abs(self.values - other.values) <= self.tolerance).all())


def fingerprint(graph: LayerGraph, probes: tuple[Probe, ...] = PROBES) -> Fingerprint:
  """Returns a graph's fingerprint, which can only be compared with fingerprints on the same probes."""
  graph = graph.without_dead_nodes()
  with np.errstate(all='ignore'):
    rows = np.stack([y for probe in probes for y in _history(graph, probe)])
    rows = np.where(np.isnan(rows), _NAN, np.clip(rows, -_LARGEST, _LARGEST))
    magnitudes = np.abs(rows)
    totals = np.where(magnitudes < _LARGEST, magnitudes, 0.).sum(1)
    magnitude = float(np.log(totals, where=totals > 0., out=np.zeros_like(totals)).sum())
  return Fingerprint(rows, magnitude)


def _history(graph: LayerGraph, probe: Probe) -> list[np.ndarray]:
  """The layer's values in a probe: of each tensor the probe's elements."""
  train = lambda index, node, arguments: _primitive(node, arguments, probe)
  start = _run(graph, probe.start.values, train)
  derivative = _run(graph, probe.direction.values, lambda index, node, tangents: tangent(
      node, probe.groups, probe.epsilon, start[index], [start[i] for i in node.inputs], tangents))
  batches = [_run(graph, batch.values, train) for batch in probe.batches]

  def infer(index, node, arguments):
    if node.axes == primitives.BATCH:
      return _moving(node, probe.epsilon, *(values[index] for values in batches))
    return _primitive(node, arguments, probe)

  inference = _run(graph, probe.inference.values, infer)
  inputs = probe.start, probe.start, *probe.batches, probe.inference
  return [np.broadcast_to(values[-1], i.x.shape).ravel()[probe.elements]
          for values, i in zip((start, derivative, *batches, inference), inputs)]


def _run(graph: LayerGraph, initial: tuple[np.ndarray, ...],
         apply: Callable[[int, Node, list[np.ndarray]], np.ndarray]) -> list[np.ndarray]:
  """The values of all nodes; `apply` returns that of an intermediate node from those of its arguments."""
  values = list(initial)
  for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
    values.append(apply(index, node, [values[i] for i in node.inputs]))
  return values


def _primitive(node: Node, arguments: list[np.ndarray], probe: Probe) -> np.ndarray:
  primitive = primitives.PRIMITIVES[node.primitive]
  moment_arguments = (node.axes, probe.groups) if primitive.is_moment else ()
  guard = {'epsilon': probe.epsilon} if primitive.is_guarded else {}
  return primitive.numpy_form(*arguments, *moment_arguments, **guard)


def _moving(node: Node, epsilon: float, first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """A moment over the batch in inference, from its values on the two batches.

  Moving averages are kept of μ (from 0) and of the squares of the other moments (from 1), without ε.
  """
  initial, w1, w2 = _WEIGHTS
  if node.primitive == 'first_moment':
    return w1 * first + w2 * second
  return np.sqrt(initial * (1. + epsilon) + (w1 * first * first + w2 * second * second))
