"""Writes a layer as Python code: python -m search.compile_layer --layer=best.json [--output=layer.py]

--layer is the JSON file of a layer graph, the folder of a search (for its best layer), or the name of a known layer,
such as evonorm_s0. The command writes a Python file with one Keras layer, which needs only TensorFlow and tf_keras, or
with --keras=3 only Keras 3 on any of its backends, and prints the layer's equation as text and as LaTeX; without
--output, it does no more than that. Primitives of a user's own must be registered first, by the module that
--import_module names.
"""

from collections.abc import Sequence
import os

from absl import app
from absl import flags

from evonorm_tf.cli import users_modules
from evonorm_tf.cli.console import run_command
from evonorm_tf.cli.user_errors import errors_as_messages
from evonorm_tf.errors import wrap_system_errors

_LAYER = flags.DEFINE_string('layer', None, 'JSON file of a layer graph, folder of a search, or known name.')
_OUTPUT = flags.DEFINE_string('output', None, 'Python file to write; without it, only the equation is printed.')
_CLASS_NAME = flags.DEFINE_string('class_name', 'FoundNormAct', 'Name of the layer class; Keras saves models by it.')
_KERAS = flags.DEFINE_enum('keras', '2', ['2', '3'], 'Version of Keras: 2 is tf_keras, 3 is `import keras`.')
_OVERWRITE = flags.DEFINE_bool('overwrite', False, 'Whether to replace a file that exists.')
flags.adopt_module_key_flags(users_modules)
flags.mark_flag_as_required('layer')


def main(argv: Sequence[str]) -> None:
  """Runs the command. After flag parsing, `argv` must hold the program's name only; otherwise UsageError is raised."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  with errors_as_messages(), wrap_system_errors():
    from search.code_generation.compilation import compile_layer
    from search.code_generation.compilation import find_graph
    from search.graphs.equation import equation_latex
    from search.graphs.equation import equation_text
    users_modules.import_users_modules()
    graph = find_graph(_LAYER.value) if _OUTPUT.value is None else compile_layer(
        _LAYER.value, _OUTPUT.value, _CLASS_NAME.value, _OVERWRITE.value, int(_KERAS.value))
  print(f'{equation_text(graph)}\n\n{equation_latex(graph)}')
  if _OUTPUT.value is not None:
    print(f'\nWritten: {_OUTPUT.value}')


def run() -> None:
  """The console command `evonorm-compile-layer`."""
  run_command(main)


if __name__ == '__main__':
  run()
