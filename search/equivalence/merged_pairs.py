"""Pairs of layer graphs that the equivalence cache takes for one layer although their functions differ, for audits.

The graphs are mutants of known layers and of simple ones, as a search meets them, and random graphs.
"""

import collections

import numpy as np

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import INDEX_SETS
from search.equivalence.equivalents import AFFINE
from search.equivalence.equivalents import Equivalents
from search.equivalence.equivalents import EXACT
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.mutation import mutate
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import random_node
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection

_MOST_OF_A_CLASS = 3  # pairs of one layer
_SPACE = SearchSpace(12)
Pair = tuple[LayerGraph, LayerGraph]


def merged_pairs(count: int, seed: int = 0) -> list[Pair]:
  """Returns pairs of layer graphs that are one layer up to factor and term, and different functions.

  Args:
    count: the number of pairs.
    seed: the seed of all randomness (default 0).

  Returns:
    The pairs, the graph that was met first before the other. At most three have the same first graph.
  """
  rng = np.random.default_rng(seed)
  origins = [make() for make in KNOWN_GRAPHS.values()] + _simple_layers()
  affine, exact = Equivalents(AFFINE), Equivalents(EXACT)
  first: dict[int, LayerGraph] = {}
  functions: set[int] = set()
  of_class: collections.Counter[int] = collections.Counter()
  pairs: list[Pair] = []
  for number in range(10**9):
    graph = origins[number] if number < len(origins) else _draw(origins, rng)
    if static_rejection(graph) is not None or exact.find(graph) is not None:
      continue
    exact.add(graph, number)
    functions.add(number)
    key = affine.find(graph)
    if key is None:
      affine.add(graph, number)
      first[number] = graph.without_dead_nodes()
    elif of_class[key] < _MOST_OF_A_CLASS:
      of_class[key] += 1
      pairs.append((first[key], graph.without_dead_nodes()))
      if len(pairs) == count:
        break
  return pairs


def _simple_layers() -> list[LayerGraph]:
  """Returns x divided by each moment of x that is not a mean, and functions of x alone."""
  layers = [LayerGraph((Node(moment, (0,), axes), Node('div', (0, 4))))
            for moment in ('second_moment', 'centered_second_moment') for axes in INDEX_SETS]
  layers += [LayerGraph((Node(name, (0,)),)) for name in ('tanh', 'sigmoid')]
  return layers + [LayerGraph((Node('sigmoid', (0,)), Node('mul', (0, 4))))]


def _draw(origins: list[LayerGraph], rng: np.random.Generator) -> LayerGraph:
  """Returns a random graph, or in nine of ten cases a known or simple layer, mutated one to three times."""
  if rng.random() < .1:
    return random_graph(_SPACE, rng)
  graph = origins[rng.integers(len(origins))]
  # Two nodes after the output, the first of which may join it to something else.
  nodes = list(graph.nodes)
  for _ in range(2):
    nodes.append(random_node(len(nodes) + 4, _SPACE, rng))
  last = nodes[-1]
  nodes[-1] = Node(last.primitive, (len(graph.nodes) + 3, *last.inputs[1:]), last.axes)
  graph = LayerGraph(tuple(nodes))
  for _ in range(rng.integers(3)):
    graph = mutate(graph, _SPACE, rng)
  return graph
