"""The equation of a layer graph modulo γ and β: without the factors and terms that a layer's gain and bias take up.

From y = −v1·tanh(x) / 2 + v0 remains tanh(x). What depends on v0, v1 and ε alone is one number for each channel, and γ
and β are such numbers: a factor or a term of this kind is left out, and a sign, as often as there is one. So is c in
exp(… + c) and in |c·…|, each of which is a factor of the whole, too.

A factor stays that is 0 where training begins, at v0 = 0 and v1 = 1, or may be 0 for many v0 and v1: v0·tanh(x) does
not learn at first, and max(v1, 0)·tanh(x) may end as a constant. Factors and terms that are left out may be far from 1
and 0, so that training begins elsewhere. Like the complete equation, this one holds wherever the guard of `primitives`
does not act.
"""

from collections.abc import Mapping

import sympy

from evonorm_tf.graph.layer_graph import LayerGraph
from search.graphs.equation import Equation
from search.graphs.equation import equations
from search.graphs.equation import Exponential
from search.graphs.equation import is_nonnegative
from search.graphs.equation import Magnitude
from search.graphs.equation import Maximum
from search.graphs.equation import OPERATIONS
from search.graphs.equation import Positive
from search.graphs.equation import SignedLog
from search.graphs.equation import SignedRoot
from search.graphs.equation import used_equations
from search.graphs.notation import EPSILON_SYMBOL
from search.graphs.notation import is_negative
from search.graphs.notation import TexPrinter
from search.graphs.notation import TextPrinter
from search.graphs.notation import V0
from search.graphs.notation import V1
from search.graphs.users_operations import UsersFunction

_Constants = Mapping[sympy.Symbol, sympy.Expr]  # symbols that do not depend on x, with their values at the start

_WITH_KINKS = Magnitude, SignedLog, SignedRoot  # beside maxima, the functions of which a sum may be 0 on an interval


def affine_equations(graph: LayerGraph) -> list[Equation]:
  """Returns the equations of a layer graph's output modulo γ and β, for printing.

  Args:
    graph: the layer graph; its dead nodes are ignored.

  Returns:
    Pairs of a name and its value, like those of `equation.equations`. The value of y is 0 if the output depends on v0,
    v1 and ε alone.
  """
  *parts, (y, value) = equations(graph)
  constants = {EPSILON_SYMBOL: EPSILON_SYMBOL, V0: sympy.S.Zero, V1: sympy.S.One}
  for name, part in parts:
    if _is_constant(part, constants):
      constants[name] = part.xreplace(constants)
  value, values = _simplified(value, constants), dict(parts)
  while value in values:  # y is a part itself
    value = _simplified(values[value], constants)
  return used_equations([*parts, (y, value)])


def affine_equation_text(graph: LayerGraph) -> str:
  """Returns the equation of a layer graph modulo γ and β in Unicode, such as `y = tanh(x) · γ + β` for −v1·tanh(x).

  Args:
    graph: the layer graph; its dead nodes are ignored.

  Returns:
    One line or several, like `equation.equation_text`.
  """
  return '\n'.join(TextPrinter().lines(affine_equations(graph)))


def affine_equation_latex(graph: LayerGraph) -> str:
  r"""Returns the equation of a layer graph modulo γ and β in LaTeX's math mode.

  Args:
    graph: the layer graph; its dead nodes are ignored.

  Returns:
    One line, or several lines with `\\` between them, like `equation.equation_latex`.
  """
  return ' \\\\\n'.join(TexPrinter().lines(affine_equations(graph)))


def _simplified(expr: sympy.Expr, constants: _Constants) -> sympy.Expr:
  """Returns an expression without its constant terms and factors, and without a minus sign of all its terms."""
  previous = None
  while expr != previous:
    previous = expr
    expr = _without_factors(_without_terms(expr, constants), constants)
  return expr


def _without_terms(expr: sympy.Expr, constants: _Constants) -> sympy.Expr:
  """Returns a sum without its constant terms, a common factor taken out; 0 if all of it is constant."""
  kept = [term for term in sympy.Add.make_args(expr) if not _is_constant(term, constants)]
  return OPERATIONS['add'](sympy.Add(*kept), sympy.S.Zero)


def _without_factors(expr: sympy.Expr, constants: _Constants) -> sympy.Expr:
  """Returns an expression without constant factors that are not 0, and the number and the sign of all terms."""
  _, expr = expr.primitive()
  expr = -expr if is_negative(expr) else expr
  return sympy.Mul(*(_varying(factor, constants) for factor in sympy.Mul.make_args(expr)))


def _varying(factor: sympy.Expr, constants: _Constants) -> sympy.Expr:
  """Returns a factor without what in it is a constant factor of the whole."""
  base, exponent = factor.as_base_exp()
  if _is_constant(base, constants):
    # A quotient by 0 is one by ε, so that only a factor above the line can be 0.
    return sympy.S.One if exponent < 0 or _is_nonzero(base, constants) else factor
  if isinstance(base, Exponential):
    return Exponential(_without_terms(base.args[0], constants)) ** exponent
  if isinstance(base, Magnitude):
    return Magnitude(_without_factors(base.args[0], constants)) ** exponent
  return factor


def _is_constant(expr: sympy.Expr, constants: _Constants) -> bool:
  """Returns whether an expression certainly does not depend on x."""
  return expr.free_symbols <= constants.keys()


def _is_nonzero(expr: sympy.Expr, constants: _Constants) -> bool:
  """Returns whether a constant expression is not 0 at the start, and certainly for few values of v0 and v1 at most."""
  if expr.xreplace(constants) == 0 or expr.has(UsersFunction):  # of which nothing is known
    return False
  if isinstance(expr, _WITH_KINKS):
    return _is_nonzero(expr.args[0], constants)
  return _is_positive(expr) or not expr.has(Maximum, *_WITH_KINKS)


def _is_positive(expr: sympy.Expr) -> bool:
  """Returns True if an expression is certainly positive, and otherwise False."""
  if isinstance(expr, Maximum):
    return any(map(_is_positive, expr.args))
  if expr.is_Add:
    return all(map(is_nonnegative, expr.args)) and any(map(_is_positive, expr.args))
  if expr.is_Mul:
    return all(map(_is_positive, expr.args))
  if expr.is_Pow:
    return _is_positive(expr.base)
  return expr == EPSILON_SYMBOL or isinstance(expr, Positive) or bool(expr.is_Rational and expr > 0)
