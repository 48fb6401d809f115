"""The canonical form of a layer graph: one representative of the graphs that exact rules show to be the same layer.

Every rule keeps the layer to the last bit, in training, in inference and in its gradients: dead nodes are removed,
equal nodes are merged, signs move outwards, the arguments of sums and products are sorted, and 0 and |·| are removed
where they change nothing. Rules of algebra that fail by rounding (a/b/c = a/(b·c)), by overflow (0·a = 0) or at the
guards (a/(−b) = −(a/b)) are not used.

The arguments of max are sorted only if neither depends on v0 or v1. The first of two equal arguments gets the whole
gradient: in max(0, v0·x), v0 stays at its initial 0, while in max(v0·x, 0) it learns.
"""

import dataclasses
import hashlib

from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node

DIGEST_BYTES = 17  # of a canonical form: 16 of its term, one of its sign
_ODD = {'tanh', 'log', 'sqrt', 'first_moment'}  # f(−a) = −f(a)
_EVEN = {'abs', 'square', 'second_moment', 'centered_second_moment'}  # f(−a) = f(a)
_ZERO_AT_ZERO = _ODD | {'abs', 'square'}
_NOT_NEGATIVE = {'exp', 'sigmoid', *_EVEN}
_OF_MAGNITUDE = {'abs', 'square', 'second_moment'}  # f(|a|) = f(a)


@dataclasses.dataclass(frozen=True)
class _Term:
  """An expression without its sign. Two terms are equal if their digests are equal.

  Attributes:
    digest: a hash of the expression; sorting by it does not depend on the numbers of the nodes.
    primitive: the expression's operation, or an initial node's name.
    axes: a moment's index set; otherwise empty (default).
    arguments: the operation's arguments; empty (default) for an initial node.
    has_vectors: whether the expression depends on v0 or v1 (default False).
  """
  digest: bytes
  primitive: str = dataclasses.field(compare=False)
  axes: str = dataclasses.field(default='', compare=False)
  arguments: tuple['_Signed', ...] = dataclasses.field(default=(), compare=False)
  has_vectors: bool = dataclasses.field(default=False, compare=False)


@dataclasses.dataclass(frozen=True)
class _Signed:
  """A term or, if `negative`, its negation."""
  term: _Term
  negative: bool = False

  def __neg__(self) -> '_Signed':
    return self if self.term == _ZERO else _Signed(self.term, not self.negative)

  @property
  def order(self) -> tuple[bytes, bool]:
    """The sorting key of arguments."""
    return self.term.digest, self.negative


_INITIAL = tuple(_Term(name.encode(), name, has_vectors=name in ('v0', 'v1')) for name in INITIAL_NODES)
_ZERO = _INITIAL[INITIAL_NODES.index('0')]


def canonical(graph: LayerGraph) -> LayerGraph:
  """Returns the canonical form of a layer graph.

  Args:
    graph: the layer graph.

  Returns:
    A layer graph that computes the same layer, without dead nodes. If the layer is just an initial node, such as x,
    its graph is x + 0, because a layer graph has at least one intermediate node.
  """
  return _as_graph(_value(graph))


def canonical_digest(graph: LayerGraph) -> bytes:
  """Returns a digest of a layer graph's canonical form, `DIGEST_BYTES` bytes; graphs of one form have one digest.

  Args:
    graph: the layer graph.
  """
  value = _value(graph)
  return value.term.digest.rjust(DIGEST_BYTES - 1, b'\0') + bytes([value.negative])


def _value(graph: LayerGraph) -> _Signed:
  """Returns the value of the output."""
  values = dict(enumerate(map(_Signed, _INITIAL)))
  for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
    if index in graph.live:
      values[index] = _simplified(node, [values[i] for i in node.inputs])
  return values[graph.output]


def _simplified(node: Node, arguments: list[_Signed]) -> _Signed:
  """Returns the value of a node, given the values of its arguments."""
  if node.primitive in _BINARY:
    return _BINARY[node.primitive](*arguments)
  if len(arguments) > 1:  # a primitive that a user has added, of which no rule is known
    return _term(node.primitive, *arguments)
  return _unary(node.primitive, node.axes, arguments[0])


def _add(a: _Signed, b: _Signed) -> _Signed:
  if _ZERO in (a.term, b.term):
    return a if b.term == _ZERO else b
  a, b = sorted((a, b), key=lambda s: s.order)
  return -_term('add', -a, -b) if a.negative else _term('add', a, b)


def _mul(a: _Signed, b: _Signed) -> _Signed:
  negative = a.negative != b.negative
  a, b = sorted((_Signed(a.term), _Signed(b.term)), key=lambda s: s.order)
  product = _unary('square', '', a) if a == b else _term('mul', a, b)
  return -product if negative else product


def _div(a: _Signed, b: _Signed) -> _Signed:
  return -_term('div', -a, b) if a.negative else _term('div', a, b)


def _max(a: _Signed, b: _Signed) -> _Signed:
  if a == b:
    return a
  if not (a.term.has_vectors or b.term.has_vectors):
    a, b = sorted((a, b), key=lambda s: s.order)
  return _term('max', a, b)


_BINARY = {'add': _add, 'mul': _mul, 'div': _div, 'max': _max}


def _unary(primitive: str, axes: str, a: _Signed) -> _Signed:
  if primitive == 'neg':
    return -a
  if a.term == _ZERO and primitive in _ZERO_AT_ZERO:
    return a
  if a.negative and primitive in _ODD:
    return -_unary(primitive, axes, -a)
  if primitive in _EVEN:
    a = _Signed(a.term)
  if primitive in _OF_MAGNITUDE and a.term.primitive == 'abs':
    a = _Signed(a.term.arguments[0].term)
  if primitive == 'abs' and a.term.primitive in _NOT_NEGATIVE:
    return a
  return _term(primitive, a, axes=axes)


def _term(primitive: str, *arguments: _Signed, axes: str = '') -> _Signed:
  """Returns the operation applied to the arguments, as a term with its digest."""
  parts = [primitive, axes, *((a.term.digest.hex(), a.negative) for a in arguments)]
  digest = hashlib.blake2b(repr(parts).encode(), digest_size=DIGEST_BYTES - 1).digest()
  return _Signed(_Term(digest, primitive, axes, arguments, any(a.term.has_vectors for a in arguments)))


def _as_graph(output: _Signed) -> LayerGraph:
  """Returns the expression as a layer graph; each argument's nodes come before the node that uses it."""
  nodes: list[Node] = []
  index_of = {_Signed(term): index for index, term in enumerate(_INITIAL)}
  if output in index_of:
    return LayerGraph((Node('add', (index_of[output], index_of[_Signed(_ZERO)])),))
  stack = [output]
  while stack:
    value = stack[-1]
    needed = (_Signed(value.term),) if value.negative else value.term.arguments
    missing = [a for a in needed if a not in index_of]
    if missing:
      stack.extend(reversed(missing))
      continue
    stack.pop()
    if value not in index_of:
      index_of[value] = len(INITIAL_NODES) + len(nodes)
      primitive, axes = ('neg', '') if value.negative else (value.term.primitive, value.term.axes)
      nodes.append(Node(primitive, tuple(index_of[a] for a in needed), axes))
  return LayerGraph(tuple(nodes))
