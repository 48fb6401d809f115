"""The layers of the files that `search.compile_layer` writes, without the files."""

import ast

import tf_keras

from evonorm_tf.graph.layer_graph import LayerGraph
from search.code_generation.layer_file import write_layer


def generated_layer(graph: LayerGraph) -> tf_keras.layers.Layer:
  """Returns the layer of the file that `search.compile_layer` writes for a layer graph, with its default arguments.

  Args:
    graph: the layer graph.
  """
  name = 'Generated'
  code = ast.parse(write_layer(graph, name))
  for node in code.body:
    if isinstance(node, ast.ClassDef):
      node.decorator_list = []  # Keras would keep each class that is registered, as long as the process runs
  definitions = {}
  exec(compile(code, '<generated layer>', 'exec'), definitions)  # noqa: S102  our own code, written just now
  return definitions[name]()
