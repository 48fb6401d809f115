"""Known norm-activation layers as layer graphs: references for tests, searches and drawings.

BN-ReLU, BN-SiLU, GN-ReLU and GN-SiLU apply their gain and bias before the activation, and γ and β of a layer graph come
after it. In these four graphs, v1 and v0 therefore stand for gain and bias. Each graph is exactly the known layer as
long as γ and β keep their initial values 1 and 0.

FRN-TLU, max(γ·x/√(μ_{w,h}(x²) + ε) + β, τ), is in the search space too: its graph is max(v1·x/√(μ_{w,h}(x²) + ε) + v0,
0), where v0 stands for β − τ and the graph's own β for τ. It is not among the known graphs, since a search that begins
with all of them (`initial='known'`) would be another search with one more; as a reference it goes by its name,
'frn_tlu'.
"""

from collections.abc import Callable
from collections.abc import Mapping
import functools
import types

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.found_layers import found_graphs
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE

X, ZERO, V0, V1 = range(4)  # the indices of the initial nodes


def _standardize(axes: str) -> tuple[Node, ...]:
  """Returns nodes 4 to 10; node 10 is v1·(x − μ)/s + v0, with μ and s over the index set `axes`."""
  return (
      Node('first_moment', (X,), axes), Node('neg', (4,)), Node('add', (X, 5)),
      Node('centered_second_moment', (X,), axes), Node('div', (6, 7)),
      Node('mul', (V1, 8)), Node('add', (9, V0)))


def _relu(axes: str) -> LayerGraph:
  return LayerGraph(_standardize(axes) + (Node('max', (10, ZERO)),))


def _silu(axes: str) -> LayerGraph:
  return LayerGraph(_standardize(axes) + (Node('sigmoid', (10,)), Node('mul', (10, 11))))


def _evonorm_b0() -> LayerGraph:
  return LayerGraph((
      Node('centered_second_moment', (X,), BATCH), Node('centered_second_moment', (X,), INSTANCE),
      Node('mul', (V1, X)), Node('add', (6, 5)), Node('max', (4, 7)), Node('div', (X, 8))))


def _evonorm_b1() -> LayerGraph:
  """Returns EvoNorm-B1, with (x + 1)·r as x·r + r in 6 nodes; with the constant 1 as exp(0) it would take 7."""
  return LayerGraph((
      Node('centered_second_moment', (X,), BATCH), Node('second_moment', (X,), INSTANCE),
      Node('mul', (X, 5)), Node('add', (6, 5)), Node('max', (4, 7)), Node('div', (X, 8))))


def _evonorm_b2() -> LayerGraph:
  return LayerGraph((
      Node('centered_second_moment', (X,), BATCH), Node('second_moment', (X,), INSTANCE),
      Node('neg', (X,)), Node('add', (5, 6)), Node('max', (4, 7)), Node('div', (X, 8))))


def _evonorm_s0() -> LayerGraph:
  return LayerGraph((
      Node('mul', (V1, X)), Node('sigmoid', (4,)), Node('mul', (X, 5)),
      Node('centered_second_moment', (X,), GROUP), Node('div', (6, 7))))


def _gated_by_group(moment: str) -> LayerGraph:
  """Returns x·σ(x) divided by the given moment of x over groups."""
  return LayerGraph((Node('sigmoid', (X,)), Node('mul', (X, 4)), Node(moment, (X,), GROUP), Node('div', (5, 6))))


# The known layers by name, each as a function that returns its graph.
KNOWN_GRAPHS: dict[str, Callable[[], LayerGraph]] = {
    'bn_relu': lambda: _relu(BATCH),
    'bn_silu': lambda: _silu(BATCH),
    'gn_relu': lambda: _relu(GROUP),
    'gn_silu': lambda: _silu(GROUP),
    'evonorm_b0': _evonorm_b0,
    'evonorm_b1': _evonorm_b1,
    'evonorm_b2': _evonorm_b2,
    'evonorm_s0': _evonorm_s0,
    'evonorm_s1': lambda: _gated_by_group('centered_second_moment'),
    'evonorm_s2': lambda: _gated_by_group('second_moment'),
}


@functools.cache
def graphs_by_name() -> Mapping[str, LayerGraph]:
  """Returns the layer graphs that have a name: `KNOWN_GRAPHS`, and the layers that searches here have found."""
  graphs = {name: make() for name, make in KNOWN_GRAPHS.items()} | dict(found_graphs())
  return types.MappingProxyType(dict(sorted(graphs.items())))


def known_graph(name: str) -> LayerGraph:
  """Returns the layer graph of a known layer.

  Args:
    name: the layer's name, a key of `graphs_by_name`, such as 'bn_relu', 'evonorm_s0' or 'found_1'.
      `evonorm_tf.get_norm_act` uses the same names.

  Raises:
    ArgumentError: if there is no known layer of this name.
  """
  if name not in graphs_by_name():
    raise ArgumentError(f'`name` must be one of {list(graphs_by_name())}, received {name!r}.')
  return graphs_by_name()[name]
