"""Compilation of a layer graph, such as one that a search has found, into a Python file with one Keras layer."""

import errno
import keyword
import pathlib

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import reason_with_space
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.registry import did_you_mean
from evonorm_tf.layers.registry import registered_name
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.model_dir import replacing
from evonorm_tf.output.object_folder import is_url
from search.code_generation.layer_file import write_layer
from search.code_generation.targets import TARGETS
from search.graphs.known_graphs import graphs_by_name
from search.journal.saved_search import load_search
from search.reporting.ranked_layers import layers_so_far


def find_graph(layer: str) -> LayerGraph:
  """Returns the layer graph that a string names.

  Args:
    layer: a known layer's name (a key of `graphs_by_name`, such as 'evonorm_s0', or another spelling of it, such as
      'EvoNormS0', if there is no such file), the path of a layer graph's JSON file, or the folder or URL of a search,
      which stands for the best layer that the search has found so far.

  Raises:
    ModelDirError: if a folder holds no valid search, or the search has accepted no candidate yet.
    LayerGraphError: if a file does not hold a valid layer graph.
    ArgumentError: if there is neither a layer nor a file or folder of this name.
  """
  path = pathlib.Path(layer)
  names = graphs_by_name()
  name = layer if layer in names or path.exists() else registered_name(layer, names)
  if name in names:
    return names[name]
  if is_url(layer) or path.is_dir():
    saved = load_search(layer)
    best = layers_so_far(saved.records, saved.config)
    if not best:
      raise ModelDirError(f'{layer}: the search has accepted no candidate yet.')
    return best[0].graph
  if not path.exists():
    raise ArgumentError(f'`layer` must be a JSON file, the folder of a search, or one of {list(names)}, '
                        f'received {layer!r}, which does not exist.{did_you_mean(layer, names)}')
  return LayerGraph.load(path)


def compile_layer(layer: str, output: str, class_name: str, overwrite: bool = False, keras: int = 2) -> LayerGraph:
  """Writes a Python file with one Keras layer, which computes a layer graph and needs nothing of this package.

  Args:
    layer: the layer graph: a known layer's name, the path of a layer graph's JSON file, or the folder of a search for
      its best layer.
    output: the path of the file to write, in a folder that exists.
    class_name: the name of the layer's class. Keras registers the class under this name to load saved models, so two
      layers in one program need different names. It may be no name that the file uses otherwise, such as 'tf', and none
      of Python's own, such as 'range'.
    overwrite: whether to replace a file that exists (default False).
    keras: 2 (default) for a layer of tf_keras; 3 for one of Keras 3, on any of its backends.

  Returns:
    The layer graph, before it is simplified.

  Raises:
    ArgumentError: if an argument is not valid, the layer graph is not found, or the file exists already or cannot be
      written. The file is then left as it was.
  """
  if keras not in TARGETS:
    raise ArgumentError(f'`keras` must be one of {sorted(TARGETS)}, received {keras!r}.')
  # TensorFlow names the layer's operations after its class, and takes ASCII only.
  if not class_name.isidentifier() or not class_name.isascii() or keyword.iskeyword(class_name):
    raise ArgumentError(f'`class_name` must be a name in Python, of ASCII characters, received {class_name!r}.')
  path = pathlib.Path(output)
  if not path.parent.is_dir():
    raise ArgumentError(f'`output` must lie in a folder that exists, received {output!r}.')
  if path.is_dir():
    raise ArgumentError(f'`output` must be a file, received the folder {output!r}.')
  if path.exists() and not overwrite:
    raise ArgumentError(f'`output` {output!r} exists already; `overwrite` replaces it.')
  graph = find_graph(layer)
  code = write_layer(graph, class_name, TARGETS[keras])
  try:
    with replacing(path) as temporary:
      temporary.write_text(code, encoding='utf-8')
  except OSError as e:
    reason = reason_with_space(e.errno or errno.EIO, path)
    raise ArgumentError(f'`output` {output!r} cannot be written: {reason}.') from e
  return graph
