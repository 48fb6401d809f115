"""A writer of standalone Python files with one Keras layer, made of the parts of `layer_template` that it needs.

The layer computes the same as `evonorm_tf.GraphLayer` with the same layer graph, and its arguments have the same
meaning. It has only the weights, arguments and helpers that its equation needs. These are found from the code of
`build` and `call`: each function, method or argument of the template that code in the file mentions is added to the
file, until nothing is missing.
"""

import ast
import builtins
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
import functools
import inspect
import itertools
import re
import textwrap

import sympy

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from search.code_generation import layer_template
from search.code_generation.layer_template import LayerTemplate
from search.code_generation.simplification import simplify
from search.code_generation.statements import Statements
from search.code_generation.statements import write_statements
from search.code_generation.targets import Target
from search.code_generation.targets import TF_KERAS
from search.graphs import equation
from search.graphs.equation import equation_text

WIDTH = 120  # the longest line of a file, in characters
_OPTIONS = frozenset(inspect.signature(LayerTemplate.__init__).parameters) - {'self', 'kwargs'}
_HEADER = '''"""A norm-activation layer that a search found, simplified and written as a Keras layer of its own.

Written by `python -m search.compile_layer`. Needs {needs}.
"""

{imports}
'''
_LEGEND = (  # a pattern of a part of an equation's text, and the explanation to print if the text contains it
    (r's\[', 's[I](t) is √(variance of t over the index set I + ε)'),
    (r'√μ\[', '√μ[I](t²) is √(mean of t² over the index set I + ε)'),
    (r'(?<!√)μ\[', 'μ[I](t) is the mean of t over the index set I'),
    ('ln±', 'ln±(t) is sign(t)·ln|t|'),
    ('√±', '√±(t) is sign(t)·√|t|'),
    (r'\[b,w,h\]', 'b,w,h are the batch and all positions'),
    (r'\[w,h\]', 'w,h are all positions of a sample'),
    (r'\[w,h,c\]', 'w,h,c are all positions and channels of a sample'),
    (r'\[w,h,c/g\]', 'w,h,c/g are all positions of a sample and the channels of one group'),
)
_GUARD_NOTE = ('Divisors and the arguments of logarithms and roots keep their sign and a magnitude of at least GUARD, '
               'where they could be smaller.')
_BATCH_NOTE = ('Averages over the batch are those of the batch in training; in inference, and if the layer is frozen '
               'by `trainable=False`, moving averages take their place.')
_FLOAT64_NOTE = 'With dtype float64, `keras.ops` computes parts in float32 on some backends.'
_MASK_NOTE = 'Averages are over all positions: a Keras mask is refused with a ValueError.'


def write_layer(graph: LayerGraph, class_name: str, target: Target = TF_KERAS) -> str:
  """Returns the text of a Python file with one Keras layer, which needs nothing but its Keras and engine.

  Args:
    graph: the layer graph; the file has its simplified form.
    class_name: the name of the layer's class, a Python identifier of ASCII characters.
    target: the Keras for which the file is: `TF_KERAS` (default) or `KERAS_3`.

  Raises:
    ArgumentError: if `class_name` would hide another name that the file uses, or one of Python's own.
  """
  assignments = simplify(graph)
  symbols = set().union(*(value.free_symbols for value in assignments.values()))
  statements = write_statements(assignments, target.name_of, target.package)
  methods = dict(_methods(target))
  methods['build'] = _fill(methods['build'], 'weights', _weights(symbols, statements))
  methods['call'] = _fill(methods['call'], 'statements', statements.lines)
  if not statements.averages:
    methods['call'] = _without_options(methods['call'], ['mask'])  # Keras passes it on
  used = _names_used_by(methods['build'] + methods['call'], target)
  for name in ('__init__', 'get_config'):
    methods[name] = _without_options(methods[name], _OPTIONS - _options(used))
  definitions = [code for name, code in _definitions(target).items() if name in used]
  order = dict.fromkeys(('__init__', 'build', 'call', *methods))
  members = [methods[name] for name in order if f'self.{name}' in used or _is_public(name)]
  code = '\n'.join([
      _HEADER.format(needs=target.needs, imports=target.imports), *definitions,
      f"\n@{target.register}(package='found')\nclass {class_name}({target.package}.layers.Layer):\n"
      f'{_docstring(equation_text(graph), symbols, used, target)}\n', *members])
  if class_name in _names(ast.parse(code)) or hasattr(builtins, class_name):
    raise ArgumentError('`class_name` must differ from the names that the file uses otherwise and from those of '
                        f'Python itself, received {class_name!r}.')
  return code


@functools.cache
def _definitions(target: Target) -> dict[str, str]:
  """Returns the source of the template's constants and functions by name, with an empty line before a function."""
  lines = inspect.getsource(layer_template).splitlines()
  constants = {node.targets[0].id: f'{lines[node.lineno - 1]}\n'
               for node in ast.parse('\n'.join(lines)).body if isinstance(node, ast.Assign)}
  functions = vars(layer_template) | {name: getattr(target.module, name) for name in target.functions}
  return constants | {name: f'\n{_source_of(value, target)}' for name, value in functions.items()
                      if inspect.isfunction(value)}


@functools.cache
def _methods(target: Target) -> dict[str, str]:
  """Returns the source of the template's methods and properties by name, those of its base classes last."""
  template = target.module.Template
  bases = itertools.takewhile(lambda base: base.__name__ != 'Layer', template.__mro__)
  members = {}
  for base in bases:
    members = members | {name: value for name, value in vars(base).items() if name not in members}
  functions = {name: value.fget if isinstance(value, property) else value for name, value in members.items()}
  return {name: _source_of(value, target) for name, value in functions.items() if inspect.isfunction(value)}


def _source_of(function: Callable, target: Target) -> str:
  """Returns the source of a function, with the target's names of operations and without hints that it does not know."""
  source = re.sub(r'^ *ops = ops_of\(.*\)\n', '', inspect.getsource(function), flags=re.MULTILINE)
  source = re.sub(r'\bops\.(\w+)', lambda match: target.name_of(match[1]), source)
  source = source.replace('self._keras.', f'{target.package}.')
  return _without_foreign_hints(re.sub(r'(?<![\w.])Tensor\b', target.tensor_type, source), target)


def _without_foreign_hints(function: str, target: Target) -> str:
  """Returns a function without those type hints that name more than the target's modules and Python's own types."""
  code = textwrap.dedent(function)
  lines, indent = function.splitlines(keepends=True), function.index(code[0])
  definition, known = ast.parse(code).body[0], {*target.hint_names, *dir(builtins)}
  for parameter in reversed(definition.args.args):
    if parameter.annotation and not _names(parameter.annotation) <= known:
      line, start = lines[parameter.lineno - 1], indent + parameter.col_offset + len(parameter.arg)
      rest = line[indent + parameter.end_col_offset:]
      lines[parameter.lineno - 1] = line[:start] + re.sub('^ = ', '=', rest)
  if definition.returns and not _names(definition.returns) <= known:
    number = definition.returns.lineno - 1
    lines[number] = re.sub(r' *-> .*:$', ':', lines[number])
  return ''.join(lines)


def _is_public(method: str) -> bool:
  """Returns whether the method is in every file: `__init__`, and those without a leading underscore."""
  return method == '__init__' or not method.startswith('_')


def _names_used_by(code: str, target: Target) -> set[str]:
  """Returns all names in a piece of code and, recursively, in the template's functions and methods that it uses.

  Attributes of the layer appear as `self.name`.
  """
  sources = _definitions(target) | {f'self.{name}': source for name, source in _methods(target).items()}
  used, pending = set(), [code]
  while pending:
    new = _names(ast.parse(textwrap.dedent(pending.pop()))) - used
    used |= new
    pending += [sources[name] for name in new if name in sources]
  return used


def _names(tree: ast.AST) -> set[str]:
  """Returns the names in a syntax tree; attributes of the layer appear as `self.name`."""
  nodes = list(ast.walk(tree))
  return {node.id for node in nodes if isinstance(node, ast.Name)} | {
      f'self.{node.attr}' for node in nodes
      if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == 'self'}


def _options(used: Collection[str]) -> set[str]:
  """Returns the arguments of the layer to which these names refer."""
  return {option for option in _OPTIONS if f'self.{option}' in used}


def _fill(method: str, mark: str, lines: list[str]) -> str:
  """Returns the method with `lines` in place of the line marked `# GENERATED: mark`."""
  code = ''.join(f'    {line}\n' for line in lines)
  return re.sub(rf'^.*# GENERATED: {mark}\n', lambda _: code, method, flags=re.MULTILINE)


def _without_options(method: str, options: Collection[str]) -> str:
  """Returns the method without the parameters of these names and without the statements that mention them."""
  function = ast.parse(textwrap.dedent(method)).body[0]
  mentions = set(options) | {f'self.{option}' for option in options}
  dropped = [a for a in function.args.args if a.arg in options] + [s for s in function.body if _names(s) & mentions]
  numbers = {n for node in dropped for n in range(node.lineno, node.end_lineno + 1)}
  return ''.join(line for n, line in enumerate(method.splitlines(keepends=True), 1) if n not in numbers)


def _weights(symbols: Collection[sympy.Symbol], statements: Statements) -> list[str]:
  """Returns the statements that create the weights in the equation."""
  vectors = (('v0', 'zeros', equation.V0), ('v1', 'ones', equation.V1))
  return [f"self.{name} = self._add_vector('{name}', channels, '{initializer}')"
          for name, initializer, symbol in vectors if symbol in symbols] + [
              f"self.{m.name} = self._add_moving_average('{m.name}', {'channels' if m.has_channels else '1'}, "
              f"'{m.initializer}')" for m in statements.moving_averages]


def _docstring(text: str, symbols: Collection[sympy.Symbol], used: Collection[str], target: Target) -> str:
  """Returns the class's docstring: the equation, its symbols, notes, and parts of the template's docstring.

  The template's docstring has three paragraphs: a summary, the arguments with one line for each, and the shapes. The
  second and third are used, without the arguments that the layer lacks.
  """
  meanings = [f'- {meaning}' for meaning in _meanings(text, symbols)]
  notes = [_FLOAT64_NOTE] if target.package == 'keras' else []
  notes += [note for name, note in (('GUARD', _GUARD_NOTE), ('self.momentum', _BATCH_NOTE), ('mask', _MASK_NOTE))
           if name in used]
  _, arguments, shapes = inspect.getdoc(LayerTemplate).split('\n\n')
  title, *described = arguments.split('\n')
  described = [line for line in described if line.split(':')[0].strip() in {'**kwargs', *_options(used)}]
  return textwrap.indent('\n\n'.join([
      '"""The norm-activation layer',
      '\n'.join(_wrapped(line, 4, 8) for line in text.split('\n')),
      '\n'.join(['where', *(_wrapped(meaning, 0, 2) for meaning in meanings)]),
      *(_wrapped(note, 0, 0) for note in notes),
      '\n'.join([title, *described]),
      f'{shapes}\n"""']), '  ')


def _meanings(text: str, symbols: Collection[sympy.Symbol]) -> Iterator[str]:
  """Yields explanations of the symbols in the equation `text`."""
  yield 'x is the input'
  for name, start, symbol in (('v0', 0, equation.V0), ('v1', 1, equation.V1)):
    if symbol in symbols:
      yield f'{name} is a vector over channels, initialised to {start}'
  for sign, meaning in _LEGEND:
    if re.search(sign, text):
      yield meaning


def _wrapped(text: str, indent: int, further: int) -> str:
  """Returns the text wrapped for a docstring, the first line indented by `indent`, the others by `further`."""
  return textwrap.fill(text, WIDTH - 2, initial_indent=' ' * indent, subsequent_indent=' ' * further,
                       break_long_words=False, break_on_hyphens=False)
