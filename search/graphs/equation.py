"""The equation of a layer graph, as text and as LaTeX, in the symbols of the paper's table of layers.

x is the input, v0 and v1 are the channel vectors, γ and β the gain and bias after the output, ε is
`primitives.EPSILON`. Over the index set I, `μ[I](x)` is the mean, `√μ[I](x²)` the second moment (the root of the mean
square), and `s[I](x)` the centered second moment (the standard deviation). Both second moments have an ε inside their
root, which is not written. `ln±(x)` is sign(x)·ln|x| and `√±(x)` is sign(x)·√|x|.

Equations are simplified by exact algebra of real numbers: x − x = 0, x·x = x², μ(−x) = −μ(x), quotients and common
factors collected. This holds wherever the magnitude clamp, the guard of `primitives`, does not act. Where the guard
certainly acts, it is written out: x / 0 is x / ε. General simplification is never called. Functions and maxima are
classes of this module: SymPy's own would evaluate exp(exp(…)) numerically and search the order of nested maxima.

An expression is a tree although the graph is not, so it may grow exponentially with the number of nodes. An equation
longer than `MAX_LENGTH` is therefore printed as a listing, in which shared and long parts have names t1, t2, ….
"""

import collections
from collections.abc import Callable
from collections.abc import Mapping
import itertools

import sympy

from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import index_sets
from evonorm_tf.graph.primitives import INSTANCE
from search.graphs.notation import EPSILON_SYMBOL
from search.graphs.notation import is_negative
from search.graphs.notation import Opaque
from search.graphs.notation import TexPrinter
from search.graphs.notation import TextPrinter
from search.graphs.notation import V0
from search.graphs.notation import V1
from search.graphs.notation import X
from search.graphs.notation import Y
from search.graphs.users_operations import operation_of

MAX_LENGTH = 400  # characters of an equation on one line
MAX_NUMBER = 10**12  # an expression with a larger number gets a name: repeated squares grow without bound
_LINE_SIZE, _PART_SIZE, _SHARED_SIZE = 150, 25, 6  # the most SymPy nodes in one line, in a part, in a shared part

Equation = tuple[sympy.Symbol, sympy.Expr]  # a name and the expression that it stands for


def is_nonnegative(expr: sympy.Expr) -> bool:
  """Returns True if an expression is certainly never negative, and otherwise False.

  Args:
    expr: an expression of the symbols and functions of this module.
  """
  if expr.is_Rational:
    return expr >= 0
  if expr.is_Pow:
    return expr.exp.is_even or is_nonnegative(expr.base)
  if expr.is_Mul or expr.is_Add:
    return all(map(is_nonnegative, expr.args))
  return expr == EPSILON_SYMBOL or isinstance(expr, (Positive, Magnitude))


class Positive(Opaque):
  """Base class of functions that are never negative."""


class Sigmoid(Positive):
  """The SymPy function of the primitive 'sigmoid': σ(x), of an expression x."""
  text, latex, values = 'σ{}', r'\sigma{}', {0: sympy.S.Half}


class Exponential(Positive):
  """The SymPy function of the primitive 'exp': exp(x), of an expression x."""
  text, latex, values = 'exp{}', r'\exp{}', {0: sympy.S.One}


class Tangent(Opaque):
  """The SymPy function of the primitive 'tanh': tanh(x), of an expression x."""
  text, latex, values, parity = 'tanh{}', r'\tanh{}', {0: sympy.S.Zero}, -1


class SignedLog(Opaque):
  """The SymPy function of the primitive 'log': sign(x)·ln|x|, of an expression x; written ln±(x)."""
  text, latex, values, parity = 'ln±{}', r'\ln_{{\pm}}{}', {0: sympy.S.Zero, 1: sympy.S.Zero}, -1


class SignedRoot(Opaque):
  """The SymPy function of the primitive 'sqrt': sign(x)·√|x|, of an expression x; written √±(x)."""
  text, latex, values, parity = '√±{}', r'\mathrm{{sqrt}}_{{\pm}}{}', {0: sympy.S.Zero, 1: sympy.S.One}, -1


class Magnitude(Opaque):
  """The SymPy function of the primitive 'abs': |x|, of an expression x."""
  text, latex, brackets, parity = '{}', '{}', '||', 1

  @classmethod
  def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
    """Returns x if it is never negative, |−x| if every term has a minus sign, and None to keep |x|.

    Args:
      x: the function's argument.
    """
    return x if is_nonnegative(x) else super().eval(x)

  def _eval_power(self, exponent):
    if exponent.is_even:
      return self.args[0]**exponent


class Maximum(Opaque):
  """The largest of its arguments, sorted by size of expression, with a number last; nested maxima become one."""
  text, latex = 'max{}', r'\max{}'

  @classmethod
  def eval(cls, *args: sympy.Expr) -> sympy.Expr | None:
    """Returns the simplified maximum, or None if the arguments are already simplified.

    Args:
      *args: the arguments of the maximum, at least one.
    """
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
  """Base class of moments; the arguments are an expression and the number of an index set in `index_sets`."""
  axes = property(lambda self: index_sets()[self.args[1]])


class FirstMoment(Moment):
  """μ(x), the mean over the index set."""
  text, latex, parity = 'μ[{axes}]{}', r'\mu_{{{axes}}}{}', -1

  @classmethod
  def eval(cls, x: sympy.Expr, axes: sympy.Integer) -> sympy.Expr | None:
    """Returns x if it does not vary over the index set, −μ(−x) if every term has a minus sign, and None to keep μ(x).

    Args:
      x: the expression to average.
      axes: the number of the index set in `index_sets`.
    """
    return x if is_constant(x, axes) else super().eval(x, axes)


class SecondMoment(Moment, Positive):
  """√(μ(x²) + ε) over the index set, written without ε."""
  text, latex, parity, is_root = '√μ[{axes}]{}', r'\sqrt{{\mu_{{{axes}}}{}}}', 1, True
  values = {0: sympy.sqrt(EPSILON_SYMBOL)}
  printed_arguments = property(lambda self: (self.args[0]**2,))


class CenteredSecondMoment(Moment, Positive):
  """√(s²(x) + ε), with the biased variance over the index set, written s(x)."""
  text, latex, parity = 's[{axes}]{}', r's_{{{axes}}}{}', 1

  @classmethod
  def eval(cls, x: sympy.Expr, axes: sympy.Integer) -> sympy.Expr | None:
    """Returns √ε if x does not vary over the index set, s(−x) if every term has a minus sign, and None to keep s(x).

    Args:
      x: the expression.
      axes: the number of the index set in `index_sets`.
    """
    return sympy.sqrt(EPSILON_SYMBOL) if is_constant(x, axes) else super().eval(x, axes)


def is_constant(x: sympy.Expr, axes: sympy.Integer) -> bool:
  """Returns whether an expression certainly does not vary over an index set.

  Args:
    x: an expression of the symbols and functions of this module.
    axes: the number of the index set in `index_sets`.
  """
  vectors = {V0, V1} if index_sets()[axes] in (BATCH, INSTANCE) else set()  # which vary over channels
  return x.free_symbols <= {EPSILON_SYMBOL} | vectors


def _sum(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
  """Returns a + b, with the factors that all terms share taken out."""
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
  """Returns a·b. If all terms of a factor have a minus sign, the product gets that sign."""
  a, b, sign = (-a, b, -1) if is_negative(a) else (a, b, 1)
  b, sign = (-b, -sign) if is_negative(b) else (b, sign)
  return sign * (a * b)


def _quotient(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
  """Returns a/b; a number b of a magnitude below EPSILON becomes ±ε, as the guard makes it."""
  if b.is_Rational and abs(b) < EPSILON:
    return a / (-EPSILON_SYMBOL if b < 0 else EPSILON_SYMBOL)
  return -a / -b if is_negative(b) else a / b


# The operations of the primitives on expressions; a moment also takes the number of its index set.
OPERATIONS: dict[str, Callable] = {
    'add': _sum, 'mul': _product, 'div': _quotient, 'max': Maximum, 'neg': lambda x: -x, 'sigmoid': Sigmoid,
    'tanh': Tangent, 'exp': Exponential, 'abs': Magnitude, 'square': lambda x: x**2, 'log': SignedLog,
    'sqrt': SignedRoot, 'first_moment': FirstMoment, 'second_moment': SecondMoment,
    'centered_second_moment': CenteredSecondMoment,
}


def _size(expr: sympy.Expr) -> int:
  """Returns the number of SymPy nodes in the expression."""
  return sum(1 for _ in sympy.preorder_traversal(expr))


def _exceeds(expr: sympy.Expr, size: int) -> bool:
  """Returns whether the expression has more than `size` SymPy nodes, or a number above MAX_NUMBER."""
  parts = list(itertools.islice(sympy.preorder_traversal(expr), size + 1))
  return len(parts) > size or any(p.is_Rational and max(abs(p.p), p.q) > MAX_NUMBER for p in parts)


def solve(graph: LayerGraph, size: int, shared_size: int, operations: Mapping[str, Callable] = OPERATIONS
          ) -> list[Equation]:
  """Returns the equations of a layer graph's output, without γ and β; large parts have names of their own.

  The size of an expression is its number of SymPy nodes. An expression with a number above `MAX_NUMBER` also gets a
  name.

  Args:
    graph: the layer graph; its dead nodes are ignored.
    size: the size above which the value of a node gets a name.
    shared_size: the same for a node that several nodes use.
    operations: a function of expressions for each primitive, like `OPERATIONS` (default).

  Returns:
    Pairs of a name and its value in terms of x, v0, v1, ε and earlier names. The names are t1, t2, … and, last, y.
  """
  graph = graph.without_dead_nodes()
  readers = collections.Counter(i for node in graph.nodes for i in set(node.inputs))
  values: list[sympy.Expr] = [X, sympy.S.Zero, V0, V1]
  names: dict[sympy.Expr, sympy.Symbol] = {}
  for index, node in enumerate(graph.nodes, len(INITIAL_NODES)):
    axes = (sympy.Integer(index_sets().index(node.axes)),) if node.axes else ()
    value = operation_of(node.primitive, operations)(*(values[i] for i in node.inputs), *axes)
    if index != graph.output and _exceeds(value, shared_size if readers[index] > 1 else size):
      value = names.setdefault(value, sympy.Dummy())
    values.append(value)
  return used_equations([(name, value) for value, name in names.items()] + [(Y, values[-1])])


def used_equations(equations: list[Equation]) -> list[Equation]:
  """Returns the equations that the last one depends on, and that one, with the names t1, t2, …, y.

  Args:
    equations: pairs of a name and its value in terms of x, v0, v1, ε and earlier names; the last one is y's.
  """
  needed = {Y}
  used: list[Equation] = []
  for name, value in reversed(equations):
    if name in needed:
      needed |= value.free_symbols
      used.insert(0, (name, value))
  names = {name: sympy.Symbol(f't{i}') for i, (name, _) in enumerate(used[:-1], 1)}
  return [(names.get(name, name), value.xreplace(names)) for name, value in used]


def equations(graph: LayerGraph) -> list[Equation]:
  """Returns the equations of a layer graph's output for printing, without γ and β.

  Args:
    graph: the layer graph; its dead nodes are ignored.

  Returns:
    Pairs of a name and its value in terms of x, v0, v1, ε and earlier names. There is one pair, for y, unless the
    equation would be longer than `MAX_LENGTH` characters. Otherwise parts named t1, t2, … come before y.
  """
  single = solve(graph, size=_LINE_SIZE, shared_size=_LINE_SIZE)
  if len(single) == 1 and len(TextPrinter().lines(single)[0]) <= MAX_LENGTH:
    return single
  return solve(graph, size=_PART_SIZE, shared_size=_SHARED_SIZE)


def equation_text(graph: LayerGraph) -> str:
  """Returns the equation of a layer graph in Unicode, such as `y = x·σ(v1·x) / s[w,h,c/g](x) · γ + β`.

  Args:
    graph: the layer graph; its dead nodes are ignored.

  Returns:
    One line or, for a large equation, several: named parts, one on each line, followed by y.
  """
  return '\n'.join(TextPrinter().lines(equations(graph)))


def equation_latex(graph: LayerGraph) -> str:
  r"""Returns the equation of a layer graph in LaTeX's math mode.

  Args:
    graph: the layer graph; its dead nodes are ignored.

  Returns:
    One line or, for a large equation, several lines with `\\` between them, as in a `gathered` environment: parts with
    names, and then y.
  """
  return ' \\\\\n'.join(TexPrinter().lines(equations(graph)))
