"""Simplification of a layer graph that keeps its values and gradients, in training and in inference.

It uses the algebra of `search.graphs.equation`, which is exact over the real numbers, but also keeps three details that
a printed equation leaves out:

- A divisor t is guarded: it is G(t) = sign(t)·max(|t|, EPSILON), the magnitude clamp of `primitives`. A factor cancels
  G(t) only if it is G(t) itself. Where |t| ≥ EPSILON is certain, as for a standard deviation, G(t) = t.
- A moment over the batch, even of a constant, is kept, because in inference it is a moving average.
- A maximum keeps the order of its arguments, because the first of equal ones gets the gradient. As long as v0 = 0,
  max(0, v0·x) gives v0 no gradient, while max(v0·x, 0) does.

Values that overflow in the graph may be finite in the simplified form.
"""

import sympy

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import index_sets
from search.graphs import equation
from search.graphs.equation import EPSILON_SYMBOL
from search.graphs.equation import is_negative
from search.graphs.equation import is_nonnegative

GUARD = sympy.Symbol('GUARD', positive=True)  # stands for primitives.EPSILON; EPSILON_SYMBOL for a layer's `epsilon`
_PART_SIZE = 80  # larger expressions, in SymPy nodes, get a name, because a tree can grow exponentially


class Guarded(equation.Opaque):
  """A guarded divisor, G(t) = sign(t)·max(|t|, EPSILON), where zero counts as positive."""
  text, latex = 'G{}', 'G{}'

  @classmethod
  def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
    """Returns the simplified form of G(x), or None to keep G(x).

    Args:
      x: the divisor.
    """
    if isinstance(x, cls) or _is_apart_from_zero(x) or _is_apart_from_zero(-x):
      return x
    if x.is_Rational:
      return -GUARD if x < 0 else GUARD


class OrderedMaximum(equation.Opaque):
  """A maximum that keeps the order of its arguments, because the first of equal ones gets the gradient.

  Nested maxima become one.
  """
  text, latex = 'max{}', r'\max{}'

  @classmethod
  def eval(cls, *args: sympy.Expr) -> sympy.Expr | None:
    """Returns the simplified maximum, or None to keep it.

    Args:
      *args: the arguments of the maximum, at least one.
    """
    flat = (a for arg in args for a in (arg.args if isinstance(arg, cls) else (arg,)))
    distinct = list(dict.fromkeys(flat))
    if sympy.S.Zero in distinct:
      # A term that is never negative makes the 0 superfluous: where the term is 0, its gradient is 0, too. This fails
      # if others stand between the 0 and a later such term, because the 0 keeps them from getting the gradient.
      zero = distinct.index(0)
      if any(map(is_nonnegative, distinct[:zero] + distinct[zero + 1:zero + 2])):
        del distinct[zero]
    if len(distinct) == 1:
      return distinct[0]
    if tuple(distinct) != args:
      return cls(*distinct)


class _TrackedMixin:
  """Mixin of moments. Over the batch, only the argument's sign is simplified, since inference needs the moment."""

  @classmethod
  def eval(cls, x, axes):
    if index_sets()[axes] != BATCH:
      return super().eval(x, axes)
    if is_negative(x):
      return cls.parity * cls(-x, axes)


class Mean(_TrackedMixin, equation.FirstMoment):
  """The first moment, μ(t) over an index set."""


class RootMeanSquare(_TrackedMixin, equation.SecondMoment):
  """The second moment, √(μ(t²) + ε) over an index set."""


class Deviation(_TrackedMixin, equation.CenteredSecondMoment):
  """The centered second moment, √(s²(t) + ε) over an index set."""


_OPERATIONS = {
    **equation.OPERATIONS, 'div': lambda a, b: a / Guarded(b), 'max': OrderedMaximum, 'first_moment': Mean,
    'second_moment': RootMeanSquare, 'centered_second_moment': Deviation,
}


def _is_apart_from_zero(expr: sympy.Expr) -> bool:
  """Returns whether the value is certainly at least EPSILON, given that the layer's ε is at least EPSILON²."""
  if expr.is_Rational:
    return expr >= EPSILON
  if expr.is_Add:
    return any(map(_is_apart_from_zero, expr.args)) and all(map(is_nonnegative, expr.args))
  if isinstance(expr, OrderedMaximum):
    return any(map(_is_apart_from_zero, expr.args))
  if isinstance(expr, (equation.Exponential, equation.Sigmoid)):  # at least 1, or 1/2
    return is_nonnegative(expr.args[0])
  return expr == sympy.sqrt(EPSILON_SYMBOL) or isinstance(expr, (RootMeanSquare, Deviation))


def simplify(graph: LayerGraph) -> dict[sympy.Symbol, sympy.Expr]:
  """Simplifies a layer graph and returns it as assignments of expressions to names.

  Each moment has a name of its own. So has each expression that occurs more than once, except for constants and for
  multiples and reciprocals of a name.

  Args:
    graph: the layer graph.

  Returns:
    A dictionary of expressions by name, in the order in which they can be computed. An expression consists of x, v0,
    v1, `EPSILON_SYMBOL`, `GUARD` and earlier names. The last name is `equation.Y`, the output without γ and β.
  """
  named = {}  # moment -> its name
  assignments = {}
  for name, value in equation.solve(graph, _PART_SIZE, _PART_SIZE, _OPERATIONS):
    assignments[name] = _name_moments(value, named)
  assignments |= {name: moment for moment, name in named.items()}
  shared, values = sympy.cse(list(assignments.values()), sympy.numbered_symbols('shared'))
  assignments = dict(zip(assignments, values)) | dict(shared)
  while True:
    inlined = _inline_trivial(assignments)
    assignments = _without_factors(inlined)
    if assignments == inlined:
      return _in_order(assignments)


def _name_moments(expr: sympy.Expr, named: dict[sympy.Expr, sympy.Symbol]) -> sympy.Expr:
  """Returns the expression with names in place of its moments, inner ones first; adds the moments to `named`."""
  if not expr.args:
    return expr
  rebuilt = expr.func(*(_name_moments(a, named) for a in expr.args))
  if isinstance(rebuilt, equation.Moment):
    return named.setdefault(rebuilt, sympy.Symbol(f'moment{len(named)}'))
  return rebuilt


def _inline_trivial(assignments: dict[sympy.Symbol, sympy.Expr]) -> dict[sympy.Symbol, sympy.Expr]:
  """Returns the assignments with the values of trivial names in place of these names."""
  trivial = {name: value for name, value in assignments.items() if name != equation.Y and _is_trivial(value)}
  for name, value in trivial.items():
    trivial[name] = value.xreplace(trivial)
  return {name: value.xreplace(trivial) for name, value in assignments.items() if name not in trivial}


def _without_factors(assignments: dict[sympy.Symbol, sympy.Expr]) -> dict[sympy.Symbol, sympy.Expr]:
  """Returns the assignments with a name for each moment that has a factor: μ(−t), which cse may have made, is −μ(t)."""
  named = {value: name for name, value in assignments.items() if isinstance(value, equation.Moment)}
  changed = {}
  for name, value in assignments.items():
    factor, moment = value.as_coeff_Mul()
    if factor != 1 and isinstance(moment, equation.Moment):
      changed[name] = factor * named.setdefault(moment, sympy.Symbol(f'{name}_positive'))
  return assignments | {name: moment for moment, name in named.items()} | changed


def _is_trivial(value: sympy.Expr) -> bool:
  """Returns whether the value is a constant, or a multiple or the reciprocal of a name."""
  base, exponent = value.as_coeff_Mul()[1].as_base_exp()
  return base.is_Atom and exponent in (1, -1)


def _in_order(assignments: dict[sympy.Symbol, sympy.Expr]) -> dict[sympy.Symbol, sympy.Expr]:
  """Returns the assignments on which y depends, each after those of the names in its value."""
  ordered, pending = {}, [equation.Y]
  while pending:
    name = pending[-1]
    needed = sorted(assignments[name].free_symbols & assignments.keys() - ordered.keys(), key=str, reverse=True)
    if not needed:
      ordered.setdefault(pending.pop(), assignments[name])
    pending += needed
  return ordered
