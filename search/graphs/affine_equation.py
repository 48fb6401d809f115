"""The equation of a layer graph modulo γ and β: without the factors and terms that a layer's gain and bias take up.

From y = v1·tanh(x) / 2 + v0 remains tanh(x). What depends on v0, v1 and ε alone is one number for each channel, and γ
and β are such numbers: a factor or a term of this kind is left out, and a sign, as often as there is one. So is c in
exp(… + c) and in |c·…|, each of which is a factor of the whole, too.

A factor stays that might be 0 for many v0 and v1, as max(v0, 0): there the layer would be constant, and what is left of
it is not. Where factors and terms left out are far from 1 and 0, training begins elsewhere; the equation does not say
so. Like the complete equation, this one holds wherever the guard of `primitives` does not act.
"""

from collections.abc import Set

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
  constants: set[sympy.Symbol] = {EPSILON_SYMBOL, V0, V1}
  for name, part in parts:
    if part.free_symbols <= constants:
      constants.add(name)
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


def _simplified(expr: sympy.Expr, constants: Set[sympy.Symbol]) -> sympy.Expr:
  """Returns an expression without its constant terms and factors, and without a minus sign of all its terms."""
  previous = None
  while expr != previous:
    previous = expr
    expr = _without_factors(_without_terms(expr, constants), constants)
  return expr


def _without_terms(expr: sympy.Expr, constants: Set[sympy.Symbol]) -> sympy.Expr:
  """Returns a sum without its constant terms, a common factor taken out; 0 if all of it is constant."""
  kept = [term for term in sympy.Add.make_args(expr) if not term.free_symbols <= constants]
  return OPERATIONS['add'](sympy.Add(*kept), sympy.S.Zero)


def _without_factors(expr: sympy.Expr, constants: Set[sympy.Symbol]) -> sympy.Expr:
  """Returns an expression without constant factors that are not 0, the number that all terms share, and their sign."""
  _, expr = expr.primitive()
  expr = -expr if is_negative(expr) else expr
  return sympy.Mul(*(_varying(factor, constants) for factor in sympy.Mul.make_args(expr)))


def _varying(factor: sympy.Expr, constants: Set[sympy.Symbol]) -> sympy.Expr:
  """Returns a factor without what in it is a constant factor of the whole."""
  base, exponent = factor.as_base_exp()
  if base.free_symbols <= constants:
    # A quotient by 0 is one by ε, so that only a factor above the line can be 0.
    return sympy.S.One if exponent < 0 or _is_nonzero(base) else factor
  if isinstance(base, Exponential):
    return Exponential(_without_terms(*base.args, constants)) ** exponent
  if isinstance(base, Magnitude):
    return Magnitude(_without_factors(*base.args, constants)) ** exponent
  return factor


def _is_nonzero(expr: sympy.Expr) -> bool:
  """Returns whether a constant expression is 0 for single values of v0 and v1 at most, or nowhere."""
  if isinstance(expr, _WITH_KINKS):
    return _is_nonzero(*expr.args)
  return _is_positive(expr) or expr != 0 and not expr.has(Maximum, *_WITH_KINKS)


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
