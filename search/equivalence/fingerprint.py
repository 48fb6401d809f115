"""The functional fingerprint of a layer graph: the values of its layer on random probes, in float64 NumPy.

A probe holds the inputs of a short history of the layer, which is to show every difference that matters in training:
- the value, and a directional derivative with respect to x, v0 and v1, where training begins, at v0 = 0 and v1 = 1;
- the values in training on two batches, each with other random v0 and v1, because these are trainable;
- the value in inference after these batches, where the moments over the batch are moving averages.

The probes differ in the distribution of their inputs, in the number of groups and in ε. Inputs have some exact zeros,
such as a depthwise convolution gives for zeros. Where the derivative is taken, they have none: layers that differ only
in their subgradient at 0 train alike, because few positions are exactly 0.

Fingerprints are compared within a tolerance. If values were rounded and then compared for equality, rounding errors
could separate equivalent graphs.
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

RELATIVE = 1e-8  # tolerance relative to the element: far above float64's rounding, below that of a float32 training
ABSOLUTE = 1e-9  # tolerance relative to the tensor's median magnitude, for elements in which larger terms cancel
ELEMENTS = 40  # the number of elements of each tensor that a fingerprint holds
_WEIGHTS = .36, .24, .4  # of the initial value, the first and the second batch in a moving average (momentum 0.6)
_LARGEST, _NAN = 1e290, 1e300  # the values that replace larger magnitudes, and NaN


@dataclasses.dataclass(frozen=True)
class _Input:
  """The values of the initial nodes x, v0 and v1: arrays of rank 4, channels last."""
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
  """The inputs of a short history of a layer, all with the same number of channels.

  Each input holds x, [N, H, W, C], and the vectors v0 and v1, [1, 1, 1, C].

  Attributes:
    groups: the number of channel groups.
    epsilon: ε of the guards and moments. It is larger than the layers' own ε in some probes, because random numbers
      hardly ever come near a guard of 1e-5. Graphs that are equivalent for any ε agree there, too.
    start: the input where training begins, with v0 = 0 and v1 = 1.
    direction: the direction of the derivative at `start`, with the shapes of `start`.
    batches: two training batches, each with a v0 and v1 of its own.
    inference: the input in inference, after the two batches.
    elements: the indices into a flattened tensor [N, H, W, C] of the elements that a fingerprint holds, [ELEMENTS].
  """
  groups: int
  epsilon: float
  start: _Input
  direction: _Input
  batches: tuple[_Input, _Input]
  inference: _Input
  elements: np.ndarray

  def extended(self) -> 'Probe':
    """Returns the same probe with inputs in NumPy's extended precision (longdouble)."""
    return self._map(_Input.extended)

  def perturbed(self, rng: np.random.Generator) -> 'Probe':
    """Returns a copy of the probe with every x changed at random in the thirteenth digit; every v0 and v1 stay.

    Args:
      rng: the source of the changes.
    """
    return self._map(lambda given: given.perturbed(rng))

  def _map(self, change: Callable[[_Input], _Input]) -> 'Probe':
    return dataclasses.replace(self, start=change(self.start), direction=change(self.direction),
                               batches=(change(self.batches[0]), change(self.batches[1])),
                               inference=change(self.inference))


def _even(shape, rng):
  """Draws channels of one order of magnitude, each with a mean and a standard deviation of its own."""
  normal = rng.normal(size=shape) * rng.uniform(.5, 2., shape[-1]) + rng.normal(size=shape[-1])
  return normal * 10 ** rng.uniform(-1.5, .5)


def _uneven(shape, rng):
  """Draws channels whose scales lie between 1e-4 and 10: small moments, for which ε matters, beside large ones."""
  return rng.normal(size=shape) * 10 ** rng.uniform(-4, 1, shape[-1])


def _extreme(shape, rng):
  """Draws elements of magnitude 1e-7 to 100, evenly in the logarithm: some meet a guard, some saturate a function."""
  exponents = rng.permutation(np.linspace(-7, 2, math.prod(shape))).reshape(shape)
  return rng.choice((-1., 1.), shape) * 10 ** exponents


def _sparse(shape, rng):
  """Draws small elements and a few that are far larger than the moments."""
  return rng.normal(size=shape) * np.where(rng.random(shape) < .05, rng.uniform(3, 10), .05)


# Channels, groups and ε; 4 and 9 do not divide the channels.
SETTINGS = (6, 4, primitives.EPSILON), (8, 2, .2), (12, 9, .05)
INPUTS = _even, _uneven, _extreme, _sparse  # functions of a shape and a generator


def _vector(values, channels, rng):
  """Draws v0 or v1, a vector over channels that varies about 0 or about another value: [1, 1, 1, channels]."""
  shape = 1, 1, 1, channels
  return values(shape, rng) + rng.choice((0., 1.)) * rng.normal() * 10 ** rng.uniform(-2, 1)


def make_probe(channels: int, groups: int, epsilon: float, values: Callable[..., np.ndarray],
               rng: np.random.Generator) -> Probe:
  """Draws a probe.

  Args:
    channels: the number of channels of its inputs, at least 2.
    groups: the number of channel groups. If it does not divide `channels`, the largest smaller number that does is
      used.
    epsilon: ε of the guards and moments.
    values: a function of a shape and `rng` that returns a random array of that shape, such as one of `INPUTS`.
    rng: the source of all randomness.
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
  """Draws one probe for each of the settings and each distribution in `INPUTS`.

  Args:
    seed: the seed of all randomness.
    settings: triples of the number of channels, the number of channel groups, and ε (default `SETTINGS`).

  Returns:
    The probes in the order of the settings, those of one setting in the order of `INPUTS`.
  """
  rng = np.random.default_rng(seed)
  return tuple(make_probe(*setting, values, rng) for setting in settings for values in INPUTS)


PROBES = make_probes(0)


@dataclasses.dataclass(frozen=True, eq=False)
class Fingerprint:
  """A functional fingerprint: values that equivalent layer graphs share up to rounding.

  Attributes:
    values: an array [tensors, ELEMENTS] with five tensors for each probe, in the probes' order. Infinities and NaN are
      replaced by large numbers.
    magnitude: the sum over the tensors of ln Σ|element|. Fingerprints that agree have nearly the same magnitude, which
      serves to find them.
  """
  values: np.ndarray
  magnitude: float

  @property
  def tolerance(self) -> np.ndarray:
    """The largest difference that counts as rounding, for each element: [tensors, ELEMENTS]."""
    magnitudes = np.abs(self.values)
    return RELATIVE * magnitudes + ABSOLUTE * np.median(magnitudes, 1, keepdims=True)

  def agrees(self, other: 'Fingerprint') -> bool:
    """Returns whether another fingerprint equals this one within the tolerance.

    Args:
      other: a fingerprint on the same probes.
    """
    return bool((np.abs(self.values - other.values) <= self.tolerance).all())


def fingerprint(graph: LayerGraph, probes: tuple[Probe, ...] = PROBES) -> Fingerprint:
  """Returns the fingerprint of a layer graph: values of its layer on probes, in training and in inference.

  Args:
    graph: the layer graph; its dead nodes are ignored.
    probes: the probes (default `PROBES`). Only fingerprints on the same probes can be compared.
  """
  graph = graph.without_dead_nodes()
  with np.errstate(all='ignore'):
    rows = np.stack([y for probe in probes for y in _history(graph, probe)])
    rows = np.where(np.isnan(rows), _NAN, np.clip(rows, -_LARGEST, _LARGEST))
    magnitudes = np.abs(rows)
    totals = np.where(magnitudes < _LARGEST, magnitudes, 0.).sum(1)
    magnitude = float(np.log(totals, where=totals > 0., out=np.zeros_like(totals)).sum())
  return Fingerprint(rows, magnitude)


def _history(graph: LayerGraph, probe: Probe) -> list[np.ndarray]:
  """Returns the layer's values on a probe, the probe's elements of each of five tensors.

  They are the value and the derivative at the start, the values on the two batches, and the value in inference.
  """
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
  """Returns the values of all nodes; `apply` computes an intermediate node from its index and its arguments' values."""
  values = list(initial)
  for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
    values.append(apply(index, node, [values[i] for i in node.inputs]))
  return values


def _primitive(node: Node, arguments: list[np.ndarray], probe: Probe) -> np.ndarray:
  """Returns the value of a node in training."""
  primitive = primitives.PRIMITIVES[node.primitive]
  moment_arguments = (node.axes, probe.groups) if primitive.is_moment else ()
  guard = {'epsilon': probe.epsilon} if primitive.is_guarded else {}
  return primitive.numpy_form(*arguments, *moment_arguments, **guard)


def _moving(node: Node, epsilon: float, first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Returns the value of a moment over the batch in inference, given its values on the two batches.

  The moving average is that of μ, from 0, or that of the moment's square without ε, from 1.
  """
  initial, w1, w2 = _WEIGHTS
  if node.primitive == 'first_moment':
    return w1 * first + w2 * second
  return np.sqrt(initial * (1. + epsilon) + (w1 * first * first + w2 * second * second))
