"""Known layers by their names, and which of them a layer graph is, up to γ and β and the signs of v0 and v1.

The table holds activations alone, the usual normalizations alone and followed by an activation, `KNOWN_GRAPHS`,
FRN-TLU, and the layers that searches here have found. Without an activation, a normalization is centred, as published,
or only divides by the standard deviation or the root mean square. γ and β come after the activation, as in every layer
graph. v0 and v1 hold one number for each channel, where a publication may have one for all.

A layer graph is a known layer if their affine fingerprints are of one class. Training may begin elsewhere, at another
factor or term of the output, and then the text says so.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import functools

from evonorm_tf.graph.found_layers import found_graphs
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INDEX_SETS
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.equivalence.affine_fingerprint import affine_fingerprint
from search.equivalence.affine_fingerprint import AffineFingerprint
from search.equivalence.affine_fingerprint import FARTHEST_FACTOR
from search.equivalence.affine_fingerprint import Start
from search.equivalence.canonical import canonical
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.known_graphs import V0
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X
from search.graphs.known_graphs import ZERO

_EVONORM = 'Liu et al. 2020, arXiv 2004.02967'
_FRN = 'Singh & Krishnan 2020, arXiv 1911.09737'
_RELU = 'Nair & Hinton 2010'
_RMS = 'Zhang & Sennrich 2019, arXiv 1910.07467'
_SILU = 'Elfwing et al. 2017, arXiv 1702.03118'
_SWISH = 'Ramachandran et al. 2017, arXiv 1710.05941'
_TANH = 'Zhu et al. 2025, arXiv 2503.10622'

_Nodes = tuple[tuple, ...]  # the arguments of each `Node`

# The activations of x alone: name, source and nodes.
_ACTIVATIONS: tuple[tuple[str, str, _Nodes], ...] = (
    ('the identity, so that the layer is affine', '', (('add', (X, ZERO)),)),
    ('tanh', '', (('tanh', (X,)),)),
    ('Dynamic Tanh', _TANH, (('mul', (V1, X)), ('tanh', (4,)))),
    ('Dynamic Tanh with a shift', _TANH, (('mul', (V1, X)), ('add', (4, V0)), ('tanh', (5,)))),
    ('Dynamic Tanh with a shift before the slope', _TANH, (('add', (X, V0)), ('mul', (V1, 4)), ('tanh', (5,)))),
    ('Dynamic Tanh with a shift in place of the slope', _TANH, (('add', (X, V0)), ('tanh', (4,)))),
    ('the sigmoid', '', (('sigmoid', (X,)),)),
    ('the sigmoid with a trainable slope', '', (('mul', (V1, X)), ('sigmoid', (4,)))),
    ('the sigmoid with a trainable shift', '', (('add', (X, V0)), ('sigmoid', (4,)))),
    ('the sigmoid with a trainable slope and shift', '', (('mul', (V1, X)), ('add', (4, V0)), ('sigmoid', (5,)))),
    ('SiLU, or Swish', _SILU, (('sigmoid', (X,)), ('mul', (X, 4)))),
    ('Swish with a trainable slope', _SWISH, (('mul', (V1, X)), ('sigmoid', (4,)), ('mul', (X, 5)))),
    ('ReLU', _RELU, (('max', (X, ZERO)),)),
    ('the thresholded linear unit, TLU', _FRN, (('max', (X, V0)),)),
    ('PReLU with a slope of at most 1, at first 1', 'He et al. 2015, arXiv 1502.01852',
     (('mul', (V1, X)), ('max', (4, X)))),
    ('the squared ReLU', 'So et al. 2021, arXiv 2109.08668', (('max', (X, ZERO)), ('square', (4,)))),
    ('LiSHT', 'Roy et al. 2019, arXiv 1901.05894', (('tanh', (X,)), ('mul', (X, 4)))),
    ('the absolute value', '', (('abs', (X,)),)),
    ('the square', '', (('square', (X,)),)),
    ('the exponential function', '', (('exp', (X,)),)),
)

# Normalizations with the mean subtracted: name and source.
_CENTERED = {
    BATCH: ('batch normalization', 'Ioffe & Szegedy 2015, arXiv 1502.03167'),
    LAYER: ('layer normalization', 'Ba et al. 2016, arXiv 1607.06450'),
    INSTANCE: ('instance normalization', 'Ulyanov et al. 2016, arXiv 1607.08022'),
    GROUP: ('group normalization', 'Wu & He 2018, arXiv 1803.08494'),
}
# Divisions by the root mean square.
_ROOT_MEAN_SQUARE = {
    BATCH: ('RMS normalization over the batch', _RMS), LAYER: ('RMS normalization over a whole sample', _RMS),
    INSTANCE: ('filter response normalization', _FRN), GROUP: ('RMS normalization over groups', _RMS),
}
# What may follow a normalization: a function of the indices of its output and of the next node.
_FOLLOWING: dict[str, Callable[[int, int], _Nodes]] = {
    'ReLU': lambda y, node: (('max', (y, ZERO)),),
    'TLU': lambda y, node: (('max', (y, V0)),),
    'SiLU': lambda y, node: (('sigmoid', (y,)), ('mul', (y, node))),
    'tanh': lambda y, node: (('tanh', (y,)),),
}
_PRINTED = {'relu': 'ReLU', 'silu': 'SiLU'}


@dataclasses.dataclass(frozen=True)
class KnownLayer:
  """A layer with a name, as `known_layer` finds it.

  Attributes:
    name: the name in plain English.
    source: authors, year and arXiv number of a publication, or that a search here found it; empty if it needs none.
    graph: the known layer as a layer graph.
    difference: what sets the layer graph that was asked about apart, such as ', up to γ and β'; empty (default) if it
      is the known one but for the order of its nodes.
  """
  name: str
  source: str
  graph: LayerGraph
  difference: str = ''

  @property
  def text(self) -> str:
    """Name, source and difference, such as 'Dynamic Tanh (Zhu et al. 2025, arXiv 2503.10622), up to γ and β'."""
    return f'{self.name} ({self.source}){self.difference}' if self.source else self.name + self.difference


@functools.cache
def known_layers() -> tuple[KnownLayer, ...]:
  """Returns all known layers: no two are the same up to γ and β."""
  return (*(KnownLayer(name, source, _graph(nodes)) for name, source, nodes in _ACTIVATIONS),
          *(layer for axes in INDEX_SETS for layer in _normalizations(axes)),
          *(KnownLayer(*_printed(name), known_graph(name)) for name in KNOWN_GRAPHS),
          KnownLayer('FRN-TLU', _FRN, _graph((
              ('second_moment', (X,), INSTANCE), ('div', (X, 4)), ('mul', (V1, 5)), ('add', (6, V0)),
              ('max', (7, ZERO))))),
          *(KnownLayer(name, 'found by a search with this package', graph) for name, graph in found_graphs().items()))


def known_layer(graph: LayerGraph) -> KnownLayer | None:
  """Returns the known layer that a layer graph is, up to γ and β and the signs of v0 and v1; None if there is none.

  Args:
    graph: the layer graph; its dead nodes are ignored.
  """
  form, found = canonical(graph), affine_fingerprint(graph)
  for layer in known_layers():
    known = _fingerprint(layer)
    if known.is_in_class(found):
      is_itself = canonical(layer.graph) == form
      return dataclasses.replace(layer, difference='' if is_itself else _difference(found.start, known.start))
  return None


_fingerprint: Callable[[KnownLayer], AffineFingerprint] = functools.cache(
    lambda layer: affine_fingerprint(layer.graph))


def _difference(start: Start, known: Start) -> str:
  """Returns the text of a difference in factor and term, with how far the starts are apart where that is far."""
  if start.is_near(known):
    return ', up to γ and β'
  if not (start.deviation and known.deviation):
    return ', up to γ and β, from another start: the output is at first constant'
  factor = start.deviation / known.deviation
  if not 1 / FARTHEST_FACTOR <= abs(factor) <= FARTHEST_FACTOR:
    return f', up to γ and β, from another start: the output is {abs(factor):.3g} times as large'
  term = (start.mean - factor * known.mean) / abs(start.deviation)
  return f', up to γ and β, from another start: the output is shifted by {term:.3g} of its standard deviations'


def _graph(nodes: _Nodes) -> LayerGraph:
  return LayerGraph(tuple(Node(*arguments) for arguments in nodes))


def _printed(name: str) -> tuple[str, str]:
  """Returns a known graph's name as it is written in text, such as BN-ReLU or EvoNorm-B0, and its source."""
  family, _, kind = name.partition('_')
  if family == 'evonorm':
    return f'EvoNorm-{kind.upper()}', _EVONORM
  return f'{family.upper()}-{_PRINTED[kind]}', _CENTERED[BATCH if family == 'bn' else GROUP][1]


def _normalizations(axes: str) -> Iterator[KnownLayer]:
  """Yields the normalizations over an index set, each alone and then with the activations that may follow."""
  name, source = _CENTERED[axes]
  root, root_source = _ROOT_MEAN_SQUARE[axes]
  deviation = 'centered_second_moment', (X,), axes
  yield from _followed(name, ' without activation', source, (
      ('first_moment', (X,), axes), ('neg', (4,)), ('add', (X, 5)), deviation, ('div', (6, 7))))
  yield from _followed(f'{name} without centring', ' and activation', source, (deviation, ('div', (X, 4))))
  yield from _followed(root, ' without activation', root_source, (('second_moment', (X,), axes), ('div', (X, 4))))


def _followed(name: str, alone: str, source: str, nodes: _Nodes) -> Iterator[KnownLayer]:
  """Yields a normalization alone, with a remark on that behind its name, and with the activations that may follow."""
  yield KnownLayer(name + alone, source, _graph(nodes))
  output = len(nodes) + 3
  for activation, following in _FOLLOWING.items():
    yield KnownLayer(f'{name}, then {activation}, with γ and β after both', source,
                     _graph(nodes + following(output, output + 1)))
