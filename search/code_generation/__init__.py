"""Code generation: writes a layer graph, simplified, as a Python file with one Keras layer."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.code_generation.compilation import compile_layer as compile_layer
  from search.code_generation.compilation import find_graph as find_graph
  from search.code_generation.layer_file import write_layer as write_layer
  from search.code_generation.simplification import simplify as simplify
  from search.code_generation.statements import Statements as Statements
  from search.code_generation.statements import write_statements as write_statements

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'compilation': ('compile_layer', 'find_graph'),
    'layer_file': ('write_layer',),
    'simplification': ('simplify',),
    'statements': ('Statements', 'write_statements'),
})
