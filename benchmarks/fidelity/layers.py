"""The layers of the study: 30 from poor to good, no two of which are the same layer up to γ and β.

  python -m benchmarks.fidelity.layers

chooses them, by the rules below and a fixed seed, and writes them to `LAYERS`. That was done once, before the first
training. The order in the file is that in which the study trains them, round and round over the kinds, so that a study
that ends early has layers of each.

- known: BN-, GN-, LN- and PixelNorm-ReLU and the EvoNorms.
- form: tanh and sigmoid forms, without a moment.
- standardizing: division by a standard deviation or a root mean square, without an activation.
- mutant: one mutation of a known layer, the first that passes the static filter and is no layer before it.
- found: layers that the searches of `results/exploration` accepted, at equal distances in the order of their scores.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import itertools
import json
import pathlib

import numpy as np

from benchmarks.measuring.search_runs import read_compressed
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.equivalence.affine_comparison import earlier_twins
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import V0
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X
from search.graphs.mutation import mutate
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from search.journal import records as records_lib

LAYERS = pathlib.Path('results/proxy_fidelity/layers.json')
KNOWN = ('bn_relu', 'evonorm_b0', 'evonorm_s0', 'gn_relu', 'evonorm_b1', 'evonorm_s1', 'ln_relu', 'evonorm_b2',
         'evonorm_s2', 'pixel_norm_relu')
FORMS = {
    'tanh(x)': (Node('tanh', (X,)),),
    'x·σ(v1·x)': (Node('mul', (V1, X)), Node('sigmoid', (4,)), Node('mul', (X, 5))),
    'tanh(x + v0)': (Node('add', (X, V0)), Node('tanh', (4,))),
    'σ(x)': (Node('sigmoid', (X,)),),
}
STANDARDIZING = {
    'x / s[w,h,c]': (Node('centered_second_moment', (X,), LAYER), Node('div', (X, 4))),
    'x / √rms[w,h]': (Node('second_moment', (X,), INSTANCE), Node('sqrt', (4,)), Node('div', (X, 5))),
    'x / s[b,w,h]': (Node('centered_second_moment', (X,), BATCH), Node('div', (X, 4))),
}
MUTATED = 'evonorm_s0', 'evonorm_b0', 'bn_relu'
FOUND = 10
_NODES = 10  # of the search space
_SEED = 0


def load(path: pathlib.Path = LAYERS) -> dict[str, LayerGraph | str]:
  """Returns the layers of the study by name, in the order of training: a layer graph, or a name for `get_norm_act`.

  Args:
    path: the file that `main` wrote.
  """
  return {entry['name']: entry['name'] if entry['graph'] is None else LayerGraph.from_dict(entry['graph'])
          for entry in json.loads(path.read_text())}


def _choose() -> list[dict]:
  """Returns the layers in the order of training, as JSON data."""
  kinds: dict[str, list[tuple[str, LayerGraph | None]]] = {
      'known': [(name, None) for name in KNOWN],
      'form': [(name, LayerGraph(nodes)) for name, nodes in FORMS.items()],
      'standardizing': [(name, LayerGraph(nodes)) for name, nodes in STANDARDIZING.items()]}
  graphs = [known_graph(name) for name in KNOWN if name not in ('ln_relu', 'pixel_norm_relu')]
  graphs += [graph for kind in ('form', 'standardizing') for _, graph in kinds[kind]]
  kinds['mutant'] = []
  for name in MUTATED:
    graph = _mutant(known_graph(name), graphs)
    graphs.append(graph)
    kinds['mutant'].append((f'mutant of {name}', graph))
  kinds['found'] = [(f'found {i}', graph) for i, graph in enumerate(_found(graphs), 1)]
  rounds = itertools.zip_longest(*([(kind, *layer) for layer in layers] for kind, layers in kinds.items()))
  return [dict(name=name, kind=kind, graph=graph and graph.to_dict())
          for entry in itertools.chain.from_iterable(rounds) if entry for kind, name, graph in [entry]]


def _mutant(parent: LayerGraph, others: Sequence[LayerGraph]) -> LayerGraph:
  """Returns the first mutant of a layer that passes the static filter and is none of the others."""
  rng, space = np.random.default_rng(_SEED), SearchSpace(_NODES)
  while True:
    graph = mutate(parent, space, rng).without_dead_nodes()
    if static_rejection(graph) is None and earlier_twins([*others, graph])[-1] is None:
      return graph


def _found(others: Sequence[LayerGraph]) -> Iterator[LayerGraph]:
  """Yields layers that searches accepted, from the best to the poorest at equal distances, none of the others."""
  records = [record for path in sorted(pathlib.Path('results/exploration').glob('*.jsonl.gz'))
             for record in records_lib.accepted(read_compressed(path))]
  records.sort(key=lambda record: -record.mean_score)
  graphs = [record.graph.without_dead_nodes() for record in records]
  twins = earlier_twins([*others, *graphs])[len(others):]
  different = [graph for graph, twin in zip(graphs, twins) if twin is None]
  for position in np.linspace(0, len(different) - 1, FOUND).round().astype(int):
    yield different[position]


def main() -> None:
  """Chooses the layers and writes them to `LAYERS`."""
  layers = _choose()
  LAYERS.parent.mkdir(parents=True, exist_ok=True)
  LAYERS.write_text('[\n' + ',\n'.join(json.dumps(layer) for layer in layers) + '\n]\n')
  print(f'{len(layers)} layers: {", ".join(layer["name"] for layer in layers)}')


if __name__ == '__main__':
  main()
