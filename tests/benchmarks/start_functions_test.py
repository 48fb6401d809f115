"""Layers that are one function where training begins."""

from benchmarks.studies import start_functions
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.graphs.known_graphs import known_graph
from search.journal.record import Record

X, V0, V1 = 0, 2, 3
TANH = LayerGraph((Node('tanh', (X,)),))
SCALED = LayerGraph((Node('div', (X, V1)), Node('tanh', (4,)), Node('neg', (5,)), Node('add', (6, V1))))  # v1 − tanh(x)
SHIFTED = LayerGraph((Node('add', (X, V0)), Node('tanh', (4,))))
FLATTER = LayerGraph((Node('sigmoid', (V1,)), Node('mul', (X, 4)), Node('tanh', (5,))))  # tanh(x·σ(v1))


def test_what_is_one_function_up_to_a_factor_and_a_term():
  x = start_functions.probe()
  key = lambda graph: start_functions.function_at_start(graph, x)
  assert key(TANH) == key(SCALED) == key(SHIFTED)
  assert len({key(graph) for graph in (TANH, FLATTER, known_graph('evonorm_b0'), known_graph('evonorm_s0'))}) == 4


def test_the_table_has_the_best_function_first():
  records = [Record(stage='evolution', index=i, graph=graph, outcome='accepted', scores={'resnet': score})
             for i, (graph, score) in enumerate([(FLATTER, .25), (TANH, .3), (SHIFTED, .5), (SCALED, .4)])]
  found = start_functions.by_function(records)
  assert [[r.index for r in layers] for layers in found.values()] == [[2, 3, 1], [0]]
  table = start_functions.table(found)
  assert '4 accepted layers are 2 functions' in table.title
  cells = [list(map(str, column.cells)) for column in table.columns]
  assert cells[:4] == [['3', '1'], ['50.0', '25.0'], ['40.0', '25.0'], ['10.0', '–']]
  assert cells[4][0] == 'y = tanh(x + v0) · γ + β'

