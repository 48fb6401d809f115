"""Compilation of a layer that a search has found into a Python file with one readable Keras layer."""

import keyword
import pathlib

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.model_dir import replacing
from search.code_generation.layer_file import write_layer
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.journal.saved_search import load_search
from search.reporting import report


def find_graph(layer: str) -> LayerGraph:
  """Returns the layer graph that a string names.

  Args:
    layer: a name of `KNOWN_GRAPHS`, the JSON file of a layer graph, or the folder of a search: then its best layer.

  Raises:
    ValueError: if there is no such graph.
  """
  if layer in KNOWN_GRAPHS:
    return known_graph(layer)
  path = pathlib.Path(layer)
  if path.is_dir():
    best = report.found_layers(load_search(path).records, 1)
    if not best:
      raise ModelDirError(f'{path}: the search has accepted no candidate yet.')
    return best[0].graph
  if not path.exists():
    raise ArgumentError(f'`layer` must be a JSON file, the folder of a search, or one of {sorted(KNOWN_GRAPHS)}, '
                        f'received {layer!r}, which does not exist.')
  return LayerGraph.load(path)


def compile_layer(layer: str, output: str, class_name: str, overwrite: bool = False) -> LayerGraph:
  """Writes a Python file with the layer as one Keras layer that needs TensorFlow and tf_keras only.

  Args:
    layer: the layer graph, as `find_graph` takes it.
    output: the file to write, in a folder that exists.
    class_name: the name of the layer's class. Keras saves models by this name, so two layers in one program need two.
    overwrite: whether to replace a file that exists (default False).

  Returns:
    The layer graph.

  Raises:
    ValueError: if an argument is not usable; nothing is written then.
  """
  if not class_name.isidentifier() or keyword.iskeyword(class_name):
    raise ArgumentError(f'`class_name` must be a name in Python, received {class_name!r}.')
  path = pathlib.Path(output)
  if not path.parent.is_dir():
    raise ArgumentError(f'`output` must lie in a folder that exists, received {output!r}.')
  if path.is_dir():
    raise ArgumentError(f'`output` must be a file, received the folder {output!r}.')
  if path.exists() and not overwrite:
    raise ArgumentError(f'`output` {output!r} exists already; `overwrite` replaces it.')
  graph = find_graph(layer)
  code = write_layer(graph, class_name)
  try:
    with replacing(path) as temporary:
      temporary.write_text(code, encoding='utf-8')
  except OSError as e:
    raise ArgumentError(f'`output` {output!r} cannot be written: {e.strerror}.') from e
  return graph
