"""The statements of a simplified layer graph: Python code for the `call` of a Keras layer, with descriptive names.

The names say what is computed, such as `batch_deviation`, `gate` and `quotient`. The statements use the tensor `x` of
shape [N, ..., C], the layer's `inputs`, the layer `self`, and the functions and methods of `layer_template`.
"""

import collections
from collections.abc import Callable
import dataclasses

import sympy

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import index_sets
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import is_over_channels
from evonorm_tf.graph.primitives import LAYER
from evonorm_tf.graph.primitives import REGISTERED_INDEX_SETS
from evonorm_tf.graph.registration import registered
from search.code_generation import simplification
from search.code_generation.targets import tensorflow_name
from search.graphs import equation
from search.graphs.equation import Moment
from search.graphs.users_operations import UsersFunction

WIDTH = 116  # the longest statement in characters; its indentation makes that 120
# Index set -> its name in the names of variables.
SCOPES = {BATCH: 'batch', LAYER: 'layer', INSTANCE: 'instance', GROUP: 'group'}
# Index set other than the batch -> the function or method of `layer_template` that averages over it.
_MEANS = {LAYER: '_layer_mean', INSTANCE: 'mean_over_positions', GROUP: 'self._group_mean'}
# Class of moment -> the names of the moment, of the average from which it is computed, and of the moving average.
_MOMENTS = {
    simplification.Mean: ('mean', 'mean', 'moving_mean'),
    simplification.RootMeanSquare: ('root_mean_square', 'mean_square', 'moving_mean_square'),
    simplification.Deviation: ('deviation', 'variance', 'moving_variance'),
}
# Class of expression -> the name of a variable for it.
_NAMES = {
    equation.Sigmoid: 'gate', equation.Exponential: 'exponential', equation.Tangent: 'squashed',
    equation.SignedLog: 'logarithm', equation.SignedRoot: 'root', equation.Magnitude: 'magnitude',
    simplification.OrderedMaximum: 'largest', simplification.Guarded: 'divisor', sympy.Add: 'total',
}
_OPERATIONS = {
    equation.Sigmoid: 'sigmoid', equation.Exponential: 'exp', equation.Tangent: 'tanh', equation.Magnitude: 'abs',
}
_SIGNED = {equation.SignedLog: 'log', equation.SignedRoot: 'sqrt'}  # by `_signed`
_CONSTANTS = {equation.EPSILON_SYMBOL, simplification.GUARD}
_INTEGERS = 10**6  # larger integers are written as floats, which TensorFlow accepts at any size


@dataclasses.dataclass(frozen=True)
class MovingAverage:
  """A weight of the layer that replaces an average over the batch in inference.

  Attributes:
    name: the name of the weight and of the layer's attribute, such as 'moving_variance'.
    initializer: the Keras name of the initializer, 'zeros' or 'ones'.
    has_channels: whether the weight is a vector over channels, [C]; otherwise its shape is [1].
  """
  name: str
  initializer: str
  has_channels: bool


@dataclasses.dataclass(frozen=True)
class Statements:
  """The code of a layer's equation.

  Attributes:
    lines: the assignments in order, one line each. The last one is to `y`, which has the shape of x.
    moving_averages: the moving averages that the lines use, one for each moment over the batch.
    averages: the averages that the lines compute, pairs of an index set and 'mean', 'mean_square' or 'variance'.
  """
  lines: list[str]
  moving_averages: list[MovingAverage]
  averages: set[tuple[str, str]]


def write_statements(assignments: dict[sympy.Symbol, sympy.Expr], name_of: Callable[[str], str] = tensorflow_name,
                     package: str = 'tf_keras') -> Statements:
  """Returns the code of a simplified layer graph.

  Args:
    assignments: the expressions by name, in the order of computation, as `simplification.simplify` returns them.
    name_of: a function that returns an operation's name in the code, by its name in `keras.ops`; TensorFlow's by
      default.
    package: the Keras package of the code, 'tf_keras' (default) or 'keras', for primitives that users have added.

  Raises:
    ArgumentError: if a primitive or index set that a user has added has no code.
  """
  writer = _Writer(name_of, package)
  for name, value in assignments.items():
    writer.add(name, value)
  return writer.statements


class _CodePrinter(equation.TextPrinter):
  """Printer of expressions as code; `names` gives each symbol's name there, `name_of` each operation's."""
  minus, times, root = '-', ' * ', '{}**0.5'

  def __init__(self, names: dict[sympy.Symbol, str], name_of: Callable[[str], str], package: str):
    super().__init__()
    self._names = names
    self._op = name_of
    self._package = package

  def tensor(self, expr: sympy.Expr) -> str:
    """Returns the expression's code as a tensor. A number becomes a constant tensor, as some functions need it."""
    text = self.doprint(expr)
    return f'{self._op("constant")}({text}, x.dtype)' if is_number(expr) else text

  def power(self, base, exponent):
    """Returns the code of a power."""
    return f'{base}**{exponent}' if exponent.is_Integer else f'{base}**({exponent})'

  def _print_Pow(self, expr):
    if expr.exp == 2 and not is_number(expr):
      return f'{self._op("square")}({self._print(expr.base)})'
    return super()._print_Pow(expr)

  def _print_Function(self, expr):
    if isinstance(expr, simplification.OrderedMaximum):
      first, *others = expr.args
      rest = others[0] if len(others) == 1 else expr.func(*others)
      return f'{self._op("first_maximum")}({self.tensor(first)}, {self._print(rest)})'
    if isinstance(expr, UsersFunction):
      code = registered([expr.users_name])[expr.users_name].code
      return _users_code(expr.users_name, code.get(self._package)).format(', '.join(map(self.tensor, expr.args)))
    argument = self.tensor(expr.args[0])
    if isinstance(expr, simplification.Guarded):
      return f'_guarded({argument})'
    if type(expr) in _SIGNED:
      return f'_signed({self._op(_SIGNED[type(expr)])}, {argument})'
    return f'{self._op(_OPERATIONS[type(expr)])}({argument})'

  def _print_Symbol(self, expr):
    return self._names[expr]

  _print_Dummy = _print_Symbol

  def _print_Integer(self, expr):
    return str(expr) if abs(expr) < _INTEGERS else repr(float(expr))

  def _print_Rational(self, expr):
    return repr(float(expr))


def is_number(expr: sympy.Expr) -> bool:
  """Returns whether an expression's code is a Python number and not a tensor.

  Args:
    expr: an expression as in the assignments of `write_statements`.
  """
  return expr.free_symbols <= _CONSTANTS and not expr.has(sympy.Function)


class _Writer:
  """A writer of statements, which collects them in its attribute `statements`."""

  def __init__(self, name_of: Callable[[str], str], package: str):
    self._op, self._package = name_of, package
    self._names = {equation.X: 'x', equation.V0: 'self.v0', equation.V1: 'self.v1',
                   equation.EPSILON_SYMBOL: 'self.epsilon', simplification.GUARD: 'GUARD'}
    self._printer = _CodePrinter(self._names, name_of, package)
    self._counts = collections.Counter()
    # The symbols whose values have the full shape of x, those with at least the rank of x, and those with all channels.
    self._full, self._ranked = {equation.X}, {equation.X}
    self._channelled = {equation.X, equation.V0, equation.V1}
    self.statements = Statements([], [], set())

  def add(self, name: sympy.Symbol, value: sympy.Expr) -> None:
    """Adds the statements of an assignment. If its line would be too long, parts get statements of their own.

    Args:
      name: the assigned name.
      value: its expression, in terms of names added before.
    """
    while len(self._longest_line(name, value)) > WIDTH:
      part, part_name = self._middle_part(value), sympy.Dummy()
      if part is not None:
        self.add(part_name, part)
        value = value.xreplace({part: part_name})
      elif isinstance(value, simplification.OrderedMaximum) and len(value.args) > 2:  # of names and numbers alone
        self.add(part_name, value.func(*value.args[1:]))
        value = value.func(value.args[0], part_name)
      else:
        break
    write = self._add_moment if isinstance(value, Moment) else self._add_value
    write(name, value)

  def _middle_part(self, value: sympy.Expr) -> sympy.Expr | None:
    """Returns the part whose code is closest to half as long as the value's; None if the value has no parts."""
    inner = value.args[:1] if isinstance(value, Moment) else value.args
    parts = [p for arg in inner for p in sympy.preorder_traversal(arg)
             if p.args and not is_number(p) and not (p.is_Pow and p.exp.is_negative)]
    half = sum(len(self._printer.doprint(arg)) for arg in inner) / 2
    return min(parts, key=lambda p: abs(len(self._printer.doprint(p)) - half), default=None)

  def _longest_line(self, name: sympy.Symbol, value: sympy.Expr) -> str:
    """Returns the longest line that the assignment needs, approximately."""
    if not isinstance(value, Moment):
      return f'{_name_of(value)}_99 = {self._value(name, value)}'
    axes, (kind, average, moving) = index_sets()[value.args[1]], _MOMENTS[type(value)]
    if axes == BATCH:
      return f'batch_{average}_99 = {_batch_average(average, self._argument(value), f"{moving}_99")}'
    return f'{_scope(axes)}_{kind}_99 = {self._root(self._average(axes, average, self._argument(value)))}'

  def _add_value(self, name: sympy.Symbol, value: sympy.Expr) -> None:
    """Adds the statement of an assignment that is not a moment."""
    code = self._value(name, value)
    for kind in (self._full, self._ranked, self._channelled):
      if value.free_symbols & kind:
        kind.add(name)
    self._names[name] = self._append('y' if name == equation.Y else _name_of(value), code)

  def _value(self, name: sympy.Symbol, value: sympy.Expr) -> str:
    """Returns the code of a value; y is broadcast to the shape of x."""
    code = self._printer.tensor(value)
    is_narrow = name == equation.Y and not value.free_symbols & self._full
    return f'{self._op("broadcast_to")}({code}, {self._op("shape")}(x))' if is_narrow else code

  def _argument(self, moment: Moment) -> str:
    """Returns the code of a moment's argument, a tensor with the rank of x."""
    argument = moment.args[0]
    code = self._printer.tensor(argument)
    return code if argument.free_symbols & self._ranked else f'_aligned({code}, x)'

  def _add_moment(self, name: sympy.Symbol, moment: Moment) -> None:
    """Adds the statements of a moment: its average and, for the second moments, the root of that average."""
    axes = index_sets()[moment.args[1]]
    scope, (kind, average, moving_name) = _scope(axes), _MOMENTS[type(moment)]
    has_channels = not is_over_channels(axes) and bool(moment.args[0].free_symbols & self._channelled)
    argument = self._argument(moment)
    if len(self._longest_line(name, moment)) > WIDTH:  # and no part of it can have a statement of its own
      argument = self._append('argument', argument)
    self.statements.averages.add((axes, average))
    if axes != BATCH:  # over the batch, the value has the moving average's shape, [C] or [1]
      self._ranked.add(name)
    if has_channels:
      self._channelled.add(name)
    if axes == BATCH:
      moving = MovingAverage(self._number(moving_name), 'zeros' if average == 'mean' else 'ones', has_channels)
      self.statements.moving_averages.append(moving)
      code = _batch_average(average, argument, moving.name)
      if average != 'mean':
        code = self._append(f'batch_{average}', code)
    else:
      code = self._average(axes, average, argument)
    code = code if average == 'mean' else self._root(code)
    self._names[name] = self._append(f'{scope}_{kind}', code)

  def _append(self, base: str, code: str) -> str:
    """Appends a statement that assigns code to a new name, and returns the name."""
    name = self._number(base)
    self.statements.lines.append(f'{name} = {code}')
    return name

  def _average(self, axes: str, average: str, argument: str) -> str:
    """Returns the code of an average over an index set other than the batch."""
    added = REGISTERED_INDEX_SETS.get(axes)
    mean = _MEANS[axes] + '({})' if added is None else _users_code(axes, added.code.get(self._package))
    function = _MEANS[axes] if added is None else f'lambda t: {mean.format("t")}'
    return {'mean': mean.format(argument), 'mean_square': mean.format(f'{self._op("square")}({argument})'),
            'variance': f'_variance({argument}, {function})'}[average]

  def _root(self, average: str) -> str:
    """Returns the code of √(average + ε)."""
    return f'{self._op("sqrt")}({average} + self.epsilon)'

  def _number(self, base: str) -> str:
    """Returns the name, with a number appended from its second use on: `gate`, `gate_2`."""
    self._counts[base] += 1
    return base if self._counts[base] == 1 else f'{base}_{self._counts[base]}'


def _scope(axes: str) -> str:
  """Returns the name of an index set in the names of variables."""
  return SCOPES.get(axes, axes if axes.isidentifier() else 'own')


def _users_code(name: str, code: str | None) -> str:
  """Returns the code that a user has registered with a name; raises ArgumentError if there is none."""
  if not code:
    raise ArgumentError(f'{name!r} of your own was registered without `code` for this Keras.')
  return code


def _batch_average(average: str, argument: str, moving: str) -> str:
  """Returns the code of an average over the batch in training and its moving average in inference."""
  return f'self._tracked_{average}({argument}, self.{moving}, training, inputs)'


def _name_of(value: sympy.Expr) -> str:
  """Returns a variable's name for a value that is not a moment."""
  if is_number(value):
    return 'constant'
  if value.is_Pow and value.exp == 2:
    return 'square'
  if value.is_Mul or value.is_Pow:
    _, denominator = value.as_numer_denom()
    return 'product' if denominator.is_Rational else 'quotient'
  return next((name for kind, name in _NAMES.items() if isinstance(value, kind)), 'value')
