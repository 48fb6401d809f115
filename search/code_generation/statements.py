"""The statements of a simplified layer graph: Python code for the `call` of a Keras layer, with descriptive names.

Names say what is computed: `batch_deviation`, `gate`, `quotient`. The statements use the tensor `x` of shape
[N, ..., C], the layer `self`, and the functions and methods of `layer_template`.
"""

import collections
import dataclasses

import sympy

from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INDEX_SETS
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from search.code_generation import simplification
from search.graphs import equation
from search.graphs.equation import Moment

WIDTH = 116  # characters of a statement; with its indentation, 120
SCOPES = {BATCH: 'batch', LAYER: 'layer', INSTANCE: 'instance', GROUP: 'group'}
# Index set other than the batch -> the function or method of `layer_template` that averages over it.
_MEANS = {LAYER: '_layer_mean', INSTANCE: '_spatial_mean', GROUP: 'self._group_mean'}
# Class of moment -> the names of the moment, of the average that it is a function of, and of that one's moving average.
_MOMENTS = {
    simplification.Mean: ('mean', 'mean', 'moving_mean'),
    simplification.RootMeanSquare: ('root_mean_square', 'mean_square', 'moving_mean_square'),
    simplification.Deviation: ('deviation', 'variance', 'moving_variance'),
}
# Class of value -> its name.
_NAMES = {
    equation.Sigmoid: 'gate', equation.Exponential: 'exponential', equation.Tangent: 'squashed',
    equation.SignedLog: 'logarithm', equation.SignedRoot: 'root', equation.Magnitude: 'magnitude',
    simplification.OrderedMaximum: 'largest', simplification.Guarded: 'divisor', sympy.Add: 'total',
}
_FUNCTIONS = {
    equation.Sigmoid: 'tf.sigmoid({})', equation.Exponential: 'tf.exp({})', equation.Tangent: 'tf.tanh({})',
    equation.SignedLog: '_signed(tf.math.log, {})', equation.SignedRoot: '_signed(tf.sqrt, {})',
    equation.Magnitude: 'tf.abs({})', simplification.Guarded: '_guarded({})',
}
_CONSTANTS = {equation.EPSILON_SYMBOL, simplification.GUARD}
_INTEGERS = 10**6  # larger ones are written as floats, which TensorFlow takes at any size


@dataclasses.dataclass(frozen=True)
class MovingAverage:
  """A weight that takes the place of an average over the batch in inference.

  Attributes:
    name: the name of the layer's attribute.
    initializer: 'zeros' or 'ones'.
    has_channels: whether it is a vector over channels; otherwise it has size 1.
  """
  name: str
  initializer: str
  has_channels: bool


@dataclasses.dataclass(frozen=True)
class Statements:
  """The code of a layer.

  Attributes:
    lines: assignments, the last one to `y`, which has the shape of x.
    moving_averages: the moving averages of the moments over the batch.
    averages: pairs of index set and average ('mean', 'mean_square', 'variance') of the moments.
  """
  lines: list[str]
  moving_averages: list[MovingAverage]
  averages: set[tuple[str, str]]


def write_statements(assignments: dict[sympy.Symbol, sympy.Expr]) -> Statements:
  """Returns the code of a simplified layer graph.

  Args:
    assignments: the graph, as `simplification.simplify` returns it.
  """
  writer = _Writer()
  for name, value in assignments.items():
    writer.add(name, value)
  return writer.statements


class _CodePrinter(equation.TextPrinter):
  """Prints expressions as TensorFlow code, with the given names of symbols."""
  minus, times, root = '-', ' * ', '{}**0.5'

  def __init__(self, names: dict[sympy.Symbol, str]):
    super().__init__()
    self._names = names

  def tensor(self, expr: sympy.Expr) -> str:
    """Returns code of a tensor; that of `doprint` may be a number, which TensorFlow takes only beside a tensor."""
    text = self.doprint(expr)
    return f'tf.constant({text}, x.dtype)' if is_number(expr) else text

  def power(self, base, exponent):
    return f'{base}**{exponent}' if exponent.is_Integer else f'{base}**({exponent})'

  def _print_Pow(self, expr):
    if expr.exp == 2 and not is_number(expr):
      return f'tf.square({self._print(expr.base)})'
    return super()._print_Pow(expr)

  def _print_Function(self, expr):
    if isinstance(expr, simplification.OrderedMaximum):
      first, *others = expr.args
      rest = others[0] if len(others) == 1 else expr.func(*others)
      return f'tf.maximum({self.tensor(first)}, {self._print(rest)})'
    return _FUNCTIONS[type(expr)].format(self.tensor(expr.args[0]))

  def _print_Symbol(self, expr):
    return self._names[expr]

  _print_Dummy = _print_Symbol

  def _print_Integer(self, expr):
    return str(expr) if abs(expr) < _INTEGERS else repr(float(expr))

  def _print_Rational(self, expr):
    return repr(float(expr))


def is_number(expr: sympy.Expr) -> bool:
  """Returns whether the expression's code is a Python number, not a tensor."""
  return expr.free_symbols <= _CONSTANTS and not expr.has(sympy.Function)


class _Writer:
  """Writes statements one after another."""

  def __init__(self):
    self._names = {equation.X: 'x', equation.V0: 'self.v0', equation.V1: 'self.v1',
                   equation.EPSILON_SYMBOL: 'self.epsilon', simplification.GUARD: 'GUARD'}
    self._printer = _CodePrinter(self._names)
    self._counts = collections.Counter()
    # The symbols whose values have the shape of x, at least the rank of x, and more than one channel.
    self._full, self._ranked = {equation.X}, {equation.X}
    self._channelled = {equation.X, equation.V0, equation.V1}
    self.statements = Statements([], [], set())

  def add(self, name: sympy.Symbol, value: sympy.Expr) -> None:
    """Adds the statements of an assignment, after those of its parts where a line would be too long."""
    while len(self._longest_line(name, value)) > WIDTH:
      part = self._middle_part(value)
      if part is None:
        break
      part_name = sympy.Dummy()
      self.add(part_name, part)
      value = value.xreplace({part: part_name})
    write = self._add_moment if isinstance(value, Moment) else self._add_value
    write(name, value)

  def _middle_part(self, value: sympy.Expr) -> sympy.Expr | None:
    """The part whose code is closest to half the length of the value's; None if there is none."""
    inner = value.args[:1] if isinstance(value, Moment) else value.args
    parts = [p for arg in inner for p in sympy.preorder_traversal(arg)
             if p.args and not is_number(p) and not (p.is_Pow and p.exp.is_negative)]
    half = sum(len(self._printer.doprint(arg)) for arg in inner) / 2
    return min(parts, key=lambda p: abs(len(self._printer.doprint(p)) - half), default=None)

  def _longest_line(self, name: sympy.Symbol, value: sympy.Expr) -> str:
    """The longest line that the assignment needs, about."""
    if not isinstance(value, Moment):
      return f'{_name_of(value)}_99 = {self._value(name, value)}'
    axes, (kind, average, moving) = INDEX_SETS[value.args[1]], _MOMENTS[type(value)]
    if axes == BATCH:
      return f'batch_{average}_99 = {_batch_average(average, self._argument(value), f"{moving}_99")}'
    return f'{SCOPES[axes]}_{kind}_99 = tf.sqrt({_average(axes, average, self._argument(value))} + self.epsilon)'

  def _add_value(self, name: sympy.Symbol, value: sympy.Expr) -> None:
    code = self._value(name, value)
    for kind in (self._full, self._ranked, self._channelled):
      if value.free_symbols & kind:
        kind.add(name)
    self._names[name] = self._append('y' if name == equation.Y else _name_of(value), code)

  def _value(self, name: sympy.Symbol, value: sympy.Expr) -> str:
    code = self._printer.tensor(value)
    is_narrow = name == equation.Y and not value.free_symbols & self._full
    return f'tf.broadcast_to({code}, tf.shape(x))' if is_narrow else code

  def _argument(self, moment: Moment) -> str:
    """Code of a moment's argument, a tensor of x's rank."""
    argument = moment.args[0]
    code = self._printer.tensor(argument)
    return code if argument.free_symbols & self._ranked else f'_aligned({code}, x)'

  def _add_moment(self, name: sympy.Symbol, moment: Moment) -> None:
    """Adds the average of a moment and then, unless that is the mean, the moment itself, which is its root."""
    axes = INDEX_SETS[moment.args[1]]
    scope, (kind, average, moving_name) = SCOPES[axes], _MOMENTS[type(moment)]
    has_channels = axes != LAYER and bool(moment.args[0].free_symbols & self._channelled)
    argument = self._argument(moment)
    if len(self._longest_line(name, moment)) > WIDTH:  # although no part of it could have a line of its own
      argument = self._append('argument', argument)
    self.statements.averages.add((axes, average))
    if axes != BATCH:  # of an average over the batch the moving average has no other axes than that of the channels
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
      code = _average(axes, average, argument)
    code = code if average == 'mean' else f'tf.sqrt({code} + self.epsilon)'
    self._names[name] = self._append(f'{scope}_{kind}', code)

  def _append(self, base: str, code: str) -> str:
    """Appends a statement that assigns to a new name; returns the name."""
    name = self._number(base)
    self.statements.lines.append(f'{name} = {code}')
    return name

  def _number(self, base: str) -> str:
    """The name, with a number appended from its second use on."""
    self._counts[base] += 1
    return base if self._counts[base] == 1 else f'{base}_{self._counts[base]}'


def _average(axes: str, average: str, argument: str) -> str:
  """Code of an average over an index set other than the batch."""
  mean = _MEANS[axes]
  return {'mean': f'{mean}({argument})', 'mean_square': f'{mean}(tf.square({argument}))',
          'variance': f'_variance({argument}, {mean})'}[average]


def _batch_average(average: str, argument: str, moving: str) -> str:
  """Code of an average over the batch in training, which is its moving average in inference."""
  return f'self._tracked_{average}({argument}, self.{moving}, training)'


def _name_of(value: sympy.Expr) -> str:
  """The name of a value that is not a moment."""
  if is_number(value):
    return 'constant'
  if value.is_Pow and value.exp == 2:
    return 'square'
  if value.is_Mul or value.is_Pow:
    _, denominator = value.as_numer_denom()
    return 'product' if denominator.is_Rational else 'quotient'
  return next((name for kind, name in _NAMES.items() if isinstance(value, kind)), 'value')
