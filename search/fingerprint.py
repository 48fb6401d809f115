"""The functional fingerprint of a layer graph: what its layer does on random probes, in float64 NumPy.

A probe is a short history of the layer, for all that training can tell apart must show:
- the value and a directional derivative with respect to x, v0 and v1 where training begins, at v0 = 0 and v1 = 1;
- the values in training on two batches, with other random v0 and v1 each, for these are trainable;
- the value in inference after these batches, with the moving average that every moment over the batch has by then.
The probes differ in shape, distribution and groups. Inputs have exact zeros, as a depthwise convolution of zeros gives; where
the derivative is taken they have none, for there a subgradient at 0 that few positions meet is no difference.

Two fingerprints agree within a tolerance, so that no rounding to cells can split what rounding errors have moved.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from evonorm_tf import primitives
from evonorm_tf.layer_graph import INITIAL_NODES
from evonorm_tf.layer_graph import LayerGraph
from evonorm_tf.layer_graph import Node
from search.tangents import tangent

RELATIVE = 1e-8  # of each element: far above the rounding of float64, below that of a float32 training
ABSOLUTE = 1e-13  # of the median magnitude: where terms cancel, rounding is no longer small against the element
ELEMENTS = 48  # kept of each tensor
_WEIGHTS = .36, .24, .4  # in a moving average: of its initial value, of the first and of the second batch
_LARGEST, _NAN = 1e290, 1e300  # stand for what is larger, and for what is not a number


@dataclasses.dataclass(frozen=True)
class _Input:
  """The initial nodes' values."""
  x: np.ndarray
  v0: np.ndarray
  v1: np.ndarray

  @property
  def values(self) -> tuple[np.ndarray, ...]:
    return self.x, np.zeros((1,) * self.x.ndim), self.v0, self.v1


@dataclasses.dataclass(frozen=True)
class Probe:
  """A history of a layer. All of its inputs have the same number of channels.

  Attributes:
    groups: the number of channel groups.
    start: an input where training begins.
    direction: along which the derivative there is taken.
    batches: two training batches, each with v0 and v1 of its own.
    inference: the input of inference.
    elements: which elements of the flattened tensors are kept.
  """
  groups: int
  start: _Input
  direction: _Input
  batches: tuple[_Input, _Input]
  inference: _Input
  elements: np.ndarray


def _even_normal(shape, rng):
  """About 1 everywhere, with a mean and deviation for each channel."""
  return rng.normal(size=shape) * rng.uniform(.5, 2., shape[-1]) + rng.normal(size=shape[-1])


def _uneven_normal(shape, rng):
  """Channels between 1e-4 and 10: small moments, to which ε matters, beside large ones."""
  return rng.normal(size=shape) * 10 ** rng.uniform(-4, 1, shape[-1])


def _log_uniform(shape, rng):
  """Elements between 1e-7 and 100, of both signs: what is within a guard or saturates, beside what is not."""
  return rng.choice((-1., 1.), shape) * 10 ** rng.uniform(-7, 2, shape)


INPUTS = _even_normal, _uneven_normal, _log_uniform


def make_probe(channels: int, groups: int, values: Callable[..., np.ndarray], rng: np.random.Generator) -> Probe:
  """Draws a probe of other spatial sizes each, where `values(shape, rng)` is one of `INPUTS`."""
  def draw(shape, zeros=.1):
    x = values((*shape, channels), rng)
    return _Input(x * (rng.random(x.shape) >= zeros), *(values((1, 1, 1, channels), rng) for _ in range(2)))

  initial = np.zeros((1, 1, 1, channels)), np.ones((1, 1, 1, channels))
  start = _Input(draw((2, 2, 3), zeros=0.).x, *initial)
  direction = _Input(*(rng.normal(size=v.shape) for v in (start.x, *initial)))
  return Probe(groups, start, direction, (draw((2, 3, 2)), draw((3, 1, 4))), draw((2, 2, 3)),
               np.sort(rng.choice(start.x.size, ELEMENTS, replace=False)))


def make_probes(seed: int, sizes: Sequence[tuple[int, int]] = ((6, 4), (8, 2), (20, 6))) -> tuple[Probe, ...]:
  """Draws a probe of each kind of input; `sizes` are channels and groups, which divide them or do not."""
  rng = np.random.default_rng(seed)
  return tuple(make_probe(*size, values, rng) for size, values in zip(sizes, INPUTS, strict=True))


PROBES = make_probes(0)


@dataclasses.dataclass(frozen=True, eq=False)
class Fingerprint:
  """A vector that equivalent graphs share up to rounding.

  Attributes:
    values: its elements; none is infinite or NaN.
    tolerance: how far another graph's elements may be from these.
    magnitude: logarithms of magnitudes, summed over the probes: where to look for fingerprints that agree.
  """
  values: np.ndarray
  tolerance: np.ndarray
  magnitude: float

  def agrees(self, other: 'Fingerprint') -> bool:
    """Whether the two are equal within the tolerance."""
    return bool((np.abs(self.values - other.values) <= np.maximum(self.tolerance, other.tolerance)).all())


def fingerprint(graph: LayerGraph, probes: tuple[Probe, ...] = PROBES) -> Fingerprint:
  """Returns a graph's fingerprint; those of other probes cannot be compared with it."""
  graph = graph.without_dead_nodes()
  with np.errstate(all='ignore'):
    rows = np.stack([y for probe in probes for y in _history(graph, probe)])
    rows = np.where(np.isnan(rows), _NAN, np.clip(rows, -_LARGEST, _LARGEST))
    magnitudes = np.abs(rows)
    tolerance = RELATIVE * magnitudes + ABSOLUTE * np.median(magnitudes, 1, keepdims=True)
    totals = np.where(magnitudes < _LARGEST, magnitudes, 0.).sum(1)
    magnitude = float(np.log(totals, where=totals > 0., out=np.zeros_like(totals)).sum())
  return Fingerprint(rows.ravel(), tolerance.ravel(), magnitude)


def _history(graph: LayerGraph, probe: Probe) -> list[np.ndarray]:
  """What the layer does in a probe: tensors, of which the probe's elements are kept."""
  train = lambda index, node, arguments: _primitive(node, arguments, probe.groups)
  start = _run(graph, probe.start.values, train)
  derivative = _run(graph, probe.direction.values, lambda index, node, tangents: tangent(
      node, probe.groups, start[index], [start[i] for i in node.inputs], tangents))
  batches = [_run(graph, batch.values, train) for batch in probe.batches]

  def infer(index, node, arguments):
    if node.axes == primitives.BATCH:
      return _moving(node, *(values[index] for values in batches))
    return _primitive(node, arguments, probe.groups)

  inference = _run(graph, probe.inference.values, infer)
  inputs = probe.start, probe.start, *probe.batches, probe.inference
  return [np.broadcast_to(values[-1], i.x.shape).ravel()[probe.elements]
          for values, i in zip((start, derivative, *batches, inference), inputs)]


def _run(graph: LayerGraph, initial: tuple[np.ndarray, ...],
         apply: Callable[[int, Node, list[np.ndarray]], np.ndarray]) -> list[np.ndarray]:
  """The values of all nodes, where `apply` gives that of an intermediate one from those of its arguments."""
  values = list(initial)
  for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
    values.append(apply(index, node, [values[i] for i in node.inputs]))
  return values


def _primitive(node: Node, arguments: list[np.ndarray], groups: int) -> np.ndarray:
  primitive = primitives.PRIMITIVES[node.primitive]
  return primitive.numpy_form(*arguments, *((node.axes, groups) if primitive.is_moment else ()))


def _moving(node: Node, *moments: np.ndarray) -> np.ndarray:
  """A moment over the batch in inference, from its values on the two batches.

  Moving averages are kept of μ (from 0) and of the squares of the other moments (from 1), ε apart.
  """
  initial, *weights = _WEIGHTS
  if node.primitive == 'first_moment':
    return sum(w * m for w, m in zip(weights, moments))
  return np.sqrt(initial * (1. + primitives.EPSILON) + sum(w * m * m for w, m in zip(weights, moments)))
