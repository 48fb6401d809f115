"""Simplification of a layer graph that keeps its values and gradients, in training and inference, guards included.

The algebra is that of `equation`, which is exact over the real numbers, except for these details, which an equation
leaves out:

- A divisor t has the guard of `primitives`, G(t) = sign(t)·max(|t|, EPSILON). Only G(t) itself cancels G(t). Where
  |t| ≥ EPSILON is certain, as for a standard deviation, G(t) = t.
- A moment over the batch is a moving average in inference, even that of a constant, and is therefore kept.
- A maximum keeps the order of its arguments, because the first of equal ones gets the gradient. So max(0, v0·x) gives
  v0 no gradient as long as v0 = 0, and max(v0·x, 0) does.

Values that overflow in the graph may be finite in the simplified form.
"""

import sympy

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import EPSILON
from evonorm_tf.graph.primitives import INDEX_SETS
from search.graphs import equation
from search.graphs.equation import EPSILON_SYMBOL
from search.graphs.equation import is_negative
from search.graphs.equation import is_nonnegative

GUARD = sympy.Symbol('GUARD', positive=True)  # primitives.EPSILON; `EPSILON_SYMBOL` is the layer's argument `epsilon`
_PART_SIZE = 80  # SymPy nodes: larger expressions get a name, because an expression is a tree and may explode


class Guarded(equation.Opaque):
  """G(t) = sign(t)·max(|t|, EPSILON), where zero counts as positive."""
  text, latex = 'G{}', 'G{}'

  @classmethod
  def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
    """Returns the simplified form of G(x), or None to keep it."""
    if isinstance(x, cls) or _is_apart_from_zero(x) or _is_apart_from_zero(-x):
      return x
    if x.is_Rational:
      return -GUARD if x < 0 else GUARD


class OrderedMaximum(equation.Opaque):
  """The largest argument, of equal ones the first; nested maxima are one."""
  text, latex = 'max{}', r'\max{}'

  @classmethod
  def eval(cls, *args: sympy.Expr) -> sympy.Expr | None:
    """Returns the simplified form of the maximum, or None to keep it."""
    flat = (a for arg in args for a in (arg.args if isinstance(arg, cls) else (arg,)))
    distinct = list(dict.fromkeys(flat))
    if sympy.S.Zero in distinct:
      # Where a term without negative values is 0, so is its gradient. It can replace the 0 unless other terms, which
      # the 0 keeps from getting the gradient, stand between the two.
      zero = distinct.index(0)
      if any(map(is_nonnegative, distinct[:zero] + distinct[zero + 1:zero + 2])):
        del distinct[zero]
    if len(distinct) == 1:
      return distinct[0]
    if tuple(distinct) != args:
      return cls(*distinct)


class _TrackedMixin:
  """A moment that is never evaluated over the batch, but for the sign of its argument."""

  @classmethod
  def eval(cls, x, axes):
    if INDEX_SETS[axes] != BATCH:
      return super().eval(x, axes)
    if is_negative(x):
      return cls.parity * cls(-x, axes)


class Mean(_TrackedMixin, equation.FirstMoment):
  """μ[I](t)."""


class RootMeanSquare(_TrackedMixin, equation.SecondMoment):
  """√(μ[I](t²) + ε)."""


class Deviation(_TrackedMixin, equation.CenteredSecondMoment):
  """√(s²[I](t) + ε)."""


_OPERATIONS = {
    **equation.OPERATIONS, 'div': lambda a, b: a / Guarded(b), 'max': OrderedMaximum, 'first_moment': Mean,
    'second_moment': RootMeanSquare, 'centered_second_moment': Deviation,
}


def _is_apart_from_zero(expr: sympy.Expr) -> bool:
  """Whether the value is certainly at least EPSILON, for ε of at least EPSILON²."""
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
  """Returns a simplified layer graph as assignments, in an order in which they can be computed.

  Args:
    graph: the layer graph.

  Returns:
    The expressions by name, in terms of x, v0, v1, `EPSILON_SYMBOL`, `GUARD` and names. The last name is `equation.Y`.
    Every moment has a name of its own and appears only there, and so does every expression that occurs more than once.
  """
  named = {}  # name by moment
  assignments = {}
  for name, value in equation.solve(graph, _PART_SIZE, _PART_SIZE, _OPERATIONS):
    assignments[name] = _name_moments(value, named)
  assignments |= {name: moment for moment, name in named.items()}
  shared, values = sympy.cse(list(assignments.values()), sympy.numbered_symbols('shared'))
  assignments = dict(zip(assignments, values)) | dict(shared)
  return _in_order(_inline_trivial(assignments))


def _name_moments(expr: sympy.Expr, named: dict[sympy.Expr, sympy.Symbol]) -> sympy.Expr:
  """The expression with its moments replaced by names, inner ones first."""
  if not expr.args:
    return expr
  rebuilt = expr.func(*(_name_moments(a, named) for a in expr.args))
  if isinstance(rebuilt, equation.Moment):
    return named.setdefault(rebuilt, sympy.Symbol(f'moment{len(named)}'))
  return rebuilt


def _inline_trivial(assignments: dict[sympy.Symbol, sympy.Expr]) -> dict[sympy.Symbol, sympy.Expr]:
  """Replaces names whose value is a constant, or a multiple or the reciprocal of another name, by that value."""
  trivial = {name: value for name, value in assignments.items() if name != equation.Y and _is_trivial(value)}
  for name, value in trivial.items():
    trivial[name] = value.xreplace(trivial)
  return {name: value.xreplace(trivial) for name, value in assignments.items() if name not in trivial}


def _is_trivial(value: sympy.Expr) -> bool:
  base, exponent = value.as_coeff_Mul()[1].as_base_exp()
  return base.is_Atom and exponent in (1, -1)


def _in_order(assignments: dict[sympy.Symbol, sympy.Expr]) -> dict[sympy.Symbol, sympy.Expr]:
  """The assignments that y depends on, each after those of the names in its value."""
  ordered, pending = {}, [equation.Y]
  while pending:
    name = pending[-1]
    needed = sorted(assignments[name].free_symbols & assignments.keys() - ordered.keys(), key=str, reverse=True)
    if not needed:
      ordered.setdefault(pending.pop(), assignments[name])
    pending += needed
  return ordered
