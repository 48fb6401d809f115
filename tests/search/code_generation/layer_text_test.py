"""What stands in the file of a compiled layer: imports, names, helpers, width; the same text each time."""

import ast
import builtins
import inspect
import itertools
import os
import subprocess
import symtable
import sys

import pytest

from search.code_generation import layer_template
from search.code_generation.layer_file import WIDTH
from search.code_generation.layer_file import write_layer
from search.code_generation.layer_template import LayerTemplate
from search.code_generation.targets import KERAS_3
from search.code_generation.targets import TARGETS
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from tests.search.code_generation.layer_file_test import DELICATE
from tests.search.code_generation.layer_file_test import random_graphs


def imports_of(source):
  nodes = list(ast.walk(ast.parse(source)))
  return {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names} | {
      f'{n.module}.{a.name}' for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}


@pytest.mark.slow
def test_the_file_needs_tensorflow_and_keras_only_and_is_the_same_each_time(tmp_path):
  for name in ('evonorm_b1', 'gn_silu'):
    source = write_layer(known_graph(name), 'Alone')
    assert imports_of(source) == {'tensorflow', 'tf_keras'}
    of_keras_3 = imports_of(write_layer(known_graph(name), 'Alone', KERAS_3))
    assert of_keras_3 <= {'keras', 'keras.ops', 'tensorflow.distribute'}
  graph = next(random_graphs(1, 40, filtered=True))
  write = ('from evonorm_tf.graph.layer_graph import LayerGraph\n'
           'from search.code_generation.layer_file import write_layer\n'
           f'print(write_layer(LayerGraph.from_dict({graph.to_dict()}), "A"), end="")')
  outputs = {subprocess.run([sys.executable, '-c', write], env={**os.environ, 'PYTHONHASHSEED': seed}, text=True,
                            check=True, capture_output=True).stdout for seed in ('1', '2')}
  assert outputs == {write_layer(graph, 'A')}


def test_the_text_is_tidy():
  graphs = [*(known_graph(name) for name in KNOWN_GRAPHS), *DELICATE.values(), *random_graphs(100, 30)]
  for graph, target in itertools.product(graphs, TARGETS.values()):
    source = write_layer(graph, 'Tidy', target)
    lines = source.split('\n')
    assert max(map(len, lines)) <= WIDTH and lines[-1] == '' and lines[-2] != ''
    assert not any(line != line.rstrip() for line in lines) and '\n\n\n\n' not in source
    tree = ast.parse(source)
    functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    helpers = {name for name in functions if name.startswith('_') and name != '__init__'}
    helpers |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)} | {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert helpers <= used, 'a helper that nobody calls'
    assert ('GUARD = ' in source) == ('GUARD' in source.replace('GUARD = ', ''))


def test_the_file_names_nothing_that_it_lacks():
  """Functions that are emitted from other modules must not use other names of those modules, even in type hints."""
  graphs = [*(known_graph(name) for name in KNOWN_GRAPHS), *DELICATE.values()]
  for graph, target in itertools.product(graphs, TARGETS.values()):
    source = write_layer(graph, 'Closed', target)
    module = symtable.symtable(source, 'layer.py', 'exec')
    tables, used = [module], set()
    for table in tables:  # which grows
      tables += table.get_children()
      used |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
    assert used <= set(module.get_identifiers()) | set(dir(builtins))


def test_the_template_has_nothing_that_no_layer_needs():
  sources = ''.join(write_layer(graph, 'Any') for graph in [known_graph('bn_relu'), *DELICATE.values()])
  names = [name for name in vars(LayerTemplate) if inspect.isfunction(vars(LayerTemplate)[name])]
  names += [name for name, value in vars(layer_template).items() if inspect.isfunction(value) and name != 'ops_of']
  assert len(names) > 15 and not [name for name in names if f'def {name}(' not in sources]


def test_evonorm_b0_reads_as_the_paper():
  source = write_layer(known_graph('evonorm_b0'), 'FoundB0')
  assert '      y = x / max(s[b,w,h](x), v1·x + s[w,h](x)) · γ + β\n' in source
  assert """
    batch_variance = self._tracked_variance(x, self.moving_variance, training, inputs)
    batch_deviation = tf.sqrt(batch_variance + self.epsilon)
    instance_deviation = tf.sqrt(_variance(x, mean_over_positions) + self.epsilon)
    y = x / tf.maximum(batch_deviation, instance_deviation + self.v1 * x)
    if self.scale:
""" in source
