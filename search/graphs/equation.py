"""The equation of a layer graph, as text and as LaTeX, in the symbols of the paper's table of layers (section 2).

x is the input, v0 and v1 are the channel vectors, γ and β the affine part after the output, ε is `primitives.EPSILON`.
Over the index set I, `μ[I](x)` is the mean, `√μ[I](x²)` the second moment (the root of the mean square) and `s[I](x)`
the centered one, the standard deviation; both have an ε inside their root, which is not written. `ln±(x)` is
sign(x)·ln|x| and `√±(x)` is sign(x)·√|x|.

SymPy only does exact algebra of real numbers (x − x = 0, x·x = x², quotients and common factors collected, μ(−x) =
−μ(x)), which holds wherever the guard rule "magnitude clamp" of `primitives` does not act. Where the guard acts
everywhere, it is written out: x / 0 is x / ε. General simplification is never called, and functions and maxima are
opaque classes, because SymPy's own would evaluate exp(exp(…)) numerically and search the order of nested maxima.

An expression is a tree although the graph is not, so it may grow exponentially with the number of nodes. Equations
longer than `MAX_LENGTH` are therefore printed as a listing, with shared and long parts named t1, t2, ….
"""

import collections
from collections.abc import Callable
from collections.abc import Mapping
import itertools

import sympy

from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import INDEX_SETS
from search.graphs.notation import EPSILON_SYMBOL
from search.graphs.notation import is_negative
from search.graphs.notation import TexPrinter
from search.graphs.notation import TextPrinter
from search.graphs.notation import V0
from search.graphs.notation import V1
from search.graphs.notation import X
from search.graphs.notation import Y

MAX_LENGTH = 400  # characters of an equation on one line
MAX_NUMBER = 10**12  # larger numbers and exponents are named too: squares of numbers grow without bound
_LINE_SIZE, _PART_SIZE, _SHARED_SIZE = 150, 25, 6  # SymPy nodes: of one line; of any or a shared part of a listing

Equation = tuple[sympy.Symbol, sympy.Expr]  # a name and its value


def is_nonnegative(expr: sympy.Expr) -> bool:
  """Returns whether the value is certainly never negative."""
  if expr.is_Rational:
    return expr >= 0
  if expr.is_Pow:
    return expr.exp.is_even or is_nonnegative(expr.base)
  if expr.is_Mul or expr.is_Add:
    return all(map(is_nonnegative, expr.args))
  return expr == EPSILON_SYMBOL or isinstance(expr, (Positive, Magnitude))


class Opaque(sympy.Function):
  """A function that SymPy never evaluates numerically.

  Attributes:
    text, latex: its notations, with {} for its arguments in `brackets`.
    values: the arguments for which a value is known, and these values.
    is_root: whether its notation is a root, which needs brackets under an exponent.
    parity: -1 if f(−x) = −f(x), 1 if f(−x) = f(x), else 0.
    axes: a moment's index set, else empty. Its number in `INDEX_SETS` is the moment's second argument.
  """
  is_number, is_root, brackets, parity = False, False, '()', 0
  values: dict[int, sympy.Expr] = {}
  axes = property(lambda self: '')
  printed_arguments = property(lambda self: self.args[:1] if self.axes else self.args)

  @classmethod
  def eval(cls, x: sympy.Expr, *axes: sympy.Integer) -> sympy.Expr | None:
    if x in cls.values:
      return cls.values[x]
    if cls.parity and is_negative(x):
      return cls.parity * cls(-x, *axes)
    return None


class Positive(Opaque):
  """A function without negative values."""


class Sigmoid(Positive):
  text, latex, values = 'σ{}', r'\sigma{}', {0: sympy.S.Half}


class Exponential(Positive):
  text, latex, values = 'exp{}', r'\exp{}', {0: sympy.S.One}


class Tangent(Opaque):
  """tanh."""
  text, latex, values, parity = 'tanh{}', r'\tanh{}', {0: sympy.S.Zero}, -1


class SignedLog(Opaque):
  text, latex, values, parity = 'ln±{}', r'\ln_{{\pm}}{}', {0: sympy.S.Zero, 1: sympy.S.Zero}, -1


class SignedRoot(Opaque):
  text, latex, values, parity = '√±{}', r'\mathrm{{sqrt}}_{{\pm}}{}', {0: sympy.S.Zero, 1: sympy.S.One}, -1


class Magnitude(Opaque):
  text, latex, brackets, parity = '{}', '{}', '||', 1

  @classmethod
  def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
    return x if is_nonnegative(x) else super().eval(x)

  def _eval_power(self, exponent):
    if exponent.is_even:
      return self.args[0]**exponent


class Maximum(Opaque):
  """The largest argument; nested maxima become one, with large expressions and numbers last."""
  text, latex = 'max{}', r'\max{}'

  @classmethod
  def eval(cls, *args: sympy.Expr) -> sympy.Expr | None:
    flat = {a for arg in args for a in (arg.args if isinstance(arg, cls) else (arg,))}
    numbers = [a for a in flat if a.is_Rational]
    others = sorted(flat.difference(numbers), key=lambda a: (_size(a), a.sort_key()))
    largest = sorted(numbers)[-1:]
    if largest and largest[0] <= 0 and any(map(is_nonnegative, others)):
      largest = []
    if len(others + largest) == 1:
      return (others + largest)[0]
    if tuple(others + largest) != args:
      return cls(*others, *largest)
    return None


class Moment(Opaque):
  """A moment of an expression over the index set of a number: its two arguments."""
  axes = property(lambda self: INDEX_SETS[self.args[1]])


class FirstMoment(Moment):
  text, latex, parity = 'μ[{axes}]{}', r'\mu_{{{axes}}}{}', -1

  @classmethod
  def eval(cls, x: sympy.Expr, axes: sympy.Integer) -> sympy.Expr | None:
    return x if is_constant(x, axes) else super().eval(x, axes)


class SecondMoment(Moment, Positive):
  text, latex, parity, is_root = '√μ[{axes}]{}', r'\sqrt{{\mu_{{{axes}}}{}}}', 1, True
  values = {0: sympy.sqrt(EPSILON_SYMBOL)}
  printed_arguments = property(lambda self: (self.args[0]**2,))


class CenteredSecondMoment(Moment, Positive):
  text, latex, parity = 's[{axes}]{}', r's_{{{axes}}}{}', 1

  @classmethod
  def eval(cls, x: sympy.Expr, axes: sympy.Integer) -> sympy.Expr | None:
    return sympy.sqrt(EPSILON_SYMBOL) if is_constant(x, axes) else super().eval(x, axes)


def is_constant(x: sympy.Expr, axes: sympy.Integer) -> bool:
  """Returns whether x does not vary along the index set of this number."""
  return x.free_symbols <= ({EPSILON_SYMBOL} if 'c' in INDEX_SETS[axes] else {EPSILON_SYMBOL, V0, V1})


def _sum(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
  """a + b with the factors taken out that all terms have in common."""
  total = a + b
  if not total.is_Add:
    return total
  powers = [dict(f.as_base_exp() for f in sympy.Mul.make_args(term)) for term in total.args]
  common = sympy.S.One
  for base in powers[0]:
    exponents = [p.get(base, sympy.S.Zero) for p in powers]
    if not base.is_Rational and (min(exponents) > 0 or max(exponents) < 0):
      common *= base**min(exponents, key=abs)
  return common * sympy.Add(*(term / common for term in total.args))


def _product(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
  """a·b; a sum of negative terms gives its sign to the product."""
  a, b, sign = (-a, b, -1) if is_negative(a) else (a, b, 1)
  b, sign = (-b, -sign) if is_negative(b) else (b, sign)
  return sign * (a * b)


def _quotient(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
  """a/b, where the guard replaces a number b that is too small."""
  if b.is_Rational and abs(b) < EPSILON:
    return a / (-EPSILON_SYMBOL if b < 0 else EPSILON_SYMBOL)
  return -a / -b if is_negative(b) else a / b


OPERATIONS: dict[str, Callable] = {
    'add': _sum, 'mul': _product, 'div': _quotient, 'max': Maximum, 'neg': lambda x: -x, 'sigmoid': Sigmoid,
    'tanh': Tangent, 'exp': Exponential, 'abs': Magnitude, 'square': lambda x: x**2, 'log': SignedLog,
    'sqrt': SignedRoot, 'first_moment': FirstMoment, 'second_moment': SecondMoment,
    'centered_second_moment': CenteredSecondMoment,
}


def _size(expr: sympy.Expr) -> int:
  return sum(1 for _ in sympy.preorder_traversal(expr))


def _exceeds(expr: sympy.Expr, size: int) -> bool:
  """Whether the expression has more than `size` nodes, or a number above MAX_NUMBER."""
  parts = list(itertools.islice(sympy.preorder_traversal(expr), size + 1))
  return len(parts) > size or any(p.is_Rational and max(abs(p.p), p.q) > MAX_NUMBER for p in parts)


def solve(graph: LayerGraph, size: int, shared_size: int, operations: Mapping[str, Callable] = OPERATIONS
          ) -> list[Equation]:
  """Returns the equations of y and of all parts above `size`, or above `shared_size` and read by several nodes."""
  graph = graph.without_dead_nodes()
  readers = collections.Counter(i for node in graph.nodes for i in set(node.inputs))
  values: list[sympy.Expr] = [X, sympy.S.Zero, V0, V1]
  names: dict[sympy.Expr, sympy.Symbol] = {}
  for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
    axes = (sympy.Integer(INDEX_SETS.index(node.axes)),) if node.axes else ()
    value = operations[node.primitive](*(values[i] for i in node.inputs), *axes)
    if index != graph.output and _exceeds(value, shared_size if readers[index] > 1 else size):
      value = names.setdefault(value, sympy.Dummy())
    values.append(value)
  return _used([(name, value) for value, name in names.items()] + [(Y, values[-1])])


def _used(equations: list[Equation]) -> list[Equation]:
  """The equations that the last one depends on, their names t1, t2, …, y."""
  needed = {Y}
  used: list[Equation] = []
  for name, value in reversed(equations):
    if name in needed:
      needed |= value.free_symbols
      used.insert(0, (name, value))
  names = {name: sympy.Symbol(f't{i}') for i, (name, _) in enumerate(used[:-1], 1)}
  return [(names.get(name, name), value.xreplace(names)) for name, value in used]


def equations(graph: LayerGraph) -> list[Equation]:
  """Returns the equations of a layer graph's output, without γ and β.

  They are pairs of a name and its value in terms of x, v0, v1, ε and earlier names. The last name is y, and the only
  one unless the equation would be longer than `MAX_LENGTH` characters.
  """
  single = solve(graph, size=_LINE_SIZE, shared_size=_LINE_SIZE)
  if len(single) == 1 and len(_lines(single, TextPrinter())[0]) <= MAX_LENGTH:
    return single
  return solve(graph, size=_PART_SIZE, shared_size=_SHARED_SIZE)


def equation_text(graph: LayerGraph) -> str:
  """Returns the equation of y in Unicode, e.g. `y = x·σ(v1·x) / s[w,h,c/g](x) · γ + β`.

  Parts of a large equation get names, each defined in a line of its own before the line of y.
  """
  return '\n'.join(_lines(equations(graph), TextPrinter()))


def equation_latex(graph: LayerGraph) -> str:
  r"""Returns the equation of y in LaTeX's math mode; lines of a listing end in `\\`, as in a `gathered` environment."""
  return ' \\\\\n'.join(_lines(equations(graph), TexPrinter()))


def _lines(pairs: list[Equation], printer: TextPrinter | TexPrinter) -> list[str]:
  """One line an equation, with γ and β in the last."""
  *names, (y, value) = pairs
  return [f'{printer.doprint(name)} = {printer.doprint(part)}' for name, part in names] + [
      f'{printer.doprint(y)} = {printer.factor(value)}{printer.affine}']
