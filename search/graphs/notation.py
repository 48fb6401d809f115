"""The notation of equations: symbols, the order of terms and factors, and printers of text and LaTeX.

It follows the paper's table of layers.
"""

from collections.abc import Callable
from collections.abc import Sequence

import sympy
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

X, V0, V1, Y = sympy.symbols('x v0 v1 y')
EPSILON_SYMBOL = sympy.Symbol('ε', positive=True)
_SUPERSCRIPTS = str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹')


def is_negative(expr: sympy.Expr) -> bool:
  """Returns whether every term of an expression has a minus sign.

  Args:
    expr: a sum, or any other expression, which is then the only term.
  """
  return all(term.as_coeff_Mul()[0].is_negative for term in sympy.Add.make_args(expr))


def _term_key(term: sympy.Expr) -> tuple:
  """Returns a sorting key of terms, for the paper's order: v1·x + s(x); s(x) − x; v1·(…) + v0; x + 1."""
  return (term.as_coeff_Mul()[0].is_negative, term.is_Rational, term.free_symbols <= {V0, V1, EPSILON_SYMBOL},
          term.has(sympy.Function), term.sort_key())


def _factor_key(factor: sympy.Expr) -> tuple:
  """Returns a sorting key of factors, for the paper's order: constants, vectors and x, sums, functions."""
  base, _ = factor.as_base_exp()
  rank = 0 if base.free_symbols <= {EPSILON_SYMBOL} else 1 if base.is_Symbol else 2 if base.is_Add else 3
  return rank, factor.sort_key()


class Opaque(sympy.Function):
  """Base class of the functions in equations, which SymPy never evaluates numerically. Subclasses set the attributes.

  Attributes:
    text, latex: format strings of the function's notation; {} stands for the arguments in brackets, {axes} for `axes`.
    brackets: the opening and the closing bracket around the arguments (default '()').
    values: the function's known values by argument (default: none).
    is_root: whether the notation is a root sign, which needs brackets under an exponent (default False).
    parity: -1 if f(−x) = −f(x), 1 if f(−x) = f(x), otherwise 0 (default).
    axes: a moment's index set, such as 'b,w,h'; empty for all other functions.
    printed_arguments: the arguments that the notation shows; for a moment, all but the index set.
  """
  is_number, is_root, brackets, parity = False, False, '()', 0
  values: dict[int, sympy.Expr] = {}
  axes = property(lambda self: '')
  printed_arguments = property(lambda self: self.args[:1] if self.axes else self.args)

  @classmethod
  def eval(cls, x: sympy.Expr, *axes: sympy.Integer) -> sympy.Expr | None:
    """Returns the simplified function of x, by a known value or by its parity; None to keep it as it is.

    Args:
      x: the function's argument.
      *axes: for a moment, the number of its index set in `index_sets`.
    """
    if x in cls.values:
      return cls.values[x]
    if cls.parity and is_negative(x):
      return cls.parity * cls(-x, *axes)
    return None


class NotationMixin:
  """Mixin for SymPy's printers: the order of terms and factors, and the notation of functions.

  A printer that uses it defines the attributes below, and the methods `brackets`, `fraction` and `power`.

  Attributes:
    form: the attribute of a function that holds its notation, 'text' or 'latex' (see `Opaque`).
    minus, times: the signs of negation and of a product.
    root: a format string of a square root.
    affine: the text of γ and β at the end of an equation.
  """
  _print: Callable[..., str]
  brackets: Callable[..., str]
  doprint: Callable[..., str]
  times: str
  affine: str

  def lines(self, equations: Sequence[tuple[sympy.Symbol, sympy.Expr]]) -> list[str]:
    """Returns one line for each equation, with γ and β in the last.

    Args:
      equations: pairs of a name and the expression that it stands for, at least one.
    """
    *names, (y, value) = equations
    return [f'{self.doprint(name)} = {self.doprint(part)}' for name, part in names] + [
        f'{self.doprint(y)} = {self.factor(value)}{self.affine}']

  def factor(self, expr: sympy.Expr) -> str:
    """Returns the text of an expression that stands in a product; a sum gets brackets.

    Args:
      expr: the expression.
    """
    return self.brackets(self._print(expr)) if expr.is_Add else self._print(expr)

  def _print_Add(self, expr):
    first, *others = sorted(expr.args, key=_term_key)
    signed = (((self.minus, -t) if is_negative(t) else ('+', t)) for t in others)
    return self._print(first) + ''.join(f' {sign} {self._print(term)}' for sign, term in signed)

  def _print_Mul(self, expr):
    number, rest = expr.as_coeff_Mul()
    factors = sorted((f.as_base_exp() for f in sympy.Mul.make_args(rest)), key=lambda f: _factor_key(f[0]**f[1]))
    over = [sympy.Integer(abs(number.p))] + [base**exponent for base, exponent in factors if exponent > 0]
    under = [sympy.Integer(number.q)] + [base**-exponent for base, exponent in factors if exponent < 0]
    over, under = ([f for f in part if f != 1] for part in (over, under))
    quotient = self.fraction(over or [sympy.S.One], under) if under else self.product(over)
    return (self.minus if number < 0 else '') + quotient

  def _print_Pow(self, expr):
    base, exponent = expr.as_base_exp()
    if exponent < 0:
      return self._print_Mul(expr)
    if exponent == sympy.S.Half:
      return self.root.format(self._print(base))
    bracketed = getattr(base, 'is_root', False) or base.is_Rational
    return self.power(self.brackets(self._print(base)) if bracketed else self.factor(base), exponent)

  def _print_Function(self, expr):
    arguments = self.brackets(', '.join(map(self._print, expr.printed_arguments)), expr.brackets)
    axes = expr.axes.replace('_', r'\_') if self.form == 'latex' else expr.axes
    return getattr(expr, self.form).format(arguments, axes=axes)

  def product(self, factors: list[sympy.Expr]) -> str:
    """Returns the text of a product; a single factor gets no brackets.

    Args:
      factors: the factors, at least one, in the order of printing.
    """
    return self._print(factors[0]) if len(factors) == 1 else self.times.join(map(self.factor, factors))


class TextPrinter(NotationMixin, StrPrinter):
  """Printer of expressions as plain text in Unicode."""
  form, minus, times, root, affine = 'text', '−', '·', '√{}', ' · γ + β'

  def brackets(self, text: str, kind: str = '()') -> str:
    """Returns the text in brackets.

    Args:
      text: the text.
      kind: the opening and the closing bracket (default '()').
    """
    return kind[0] + text + kind[1]

  def fraction(self, over: list[sympy.Expr], under: list[sympy.Expr]) -> str:
    """Returns the text of a quotient, such as `a·b / c` or `a / (b·c)`.

    Args:
      over: the factors of the numerator, at least one.
      under: the factors of the denominator, at least one.
    """
    divisor = self.factor(under[0]) if len(under) == 1 else self.brackets(self.product(under))
    return f'{self.times.join(map(self.factor, over))} / {divisor}'

  def power(self, base: str, exponent: sympy.Expr) -> str:
    """Returns the text of a power; an integer exponent becomes a superscript.

    Args:
      base: the text of the base, in brackets if it needs them.
      exponent: the exponent, a number.
    """
    return base + (str(exponent).translate(_SUPERSCRIPTS) if exponent.is_Integer else f'^({exponent})')


class TexPrinter(NotationMixin, LatexPrinter):
  """Printer of expressions in LaTeX's math mode."""
  form, minus, times, root, affine = 'latex', '-', r' \, ', r'\sqrt{{{}}}', r' \cdot \gamma + \beta'

  def brackets(self, text: str, kind: str = '()') -> str:
    """Returns the text in brackets, which grow with their content if it has a fraction.

    Args:
      text: the text.
      kind: the opening and the closing bracket (default '()').
    """
    return rf'\left{kind[0]}{text}\right{kind[1]}' if r'\frac' in text else kind[0] + text + kind[1]

  def fraction(self, over: list[sympy.Expr], under: list[sympy.Expr]) -> str:
    """Returns the text of a quotient, a LaTeX fraction.

    Args:
      over: the factors of the numerator, at least one.
      under: the factors of the denominator, at least one.
    """
    return rf'\frac{{{self.product(over)}}}{{{self.product(under)}}}'

  def power(self, base: str, exponent: sympy.Expr) -> str:
    """Returns the text of a power.

    Args:
      base: the text of the base, in brackets if it needs them.
      exponent: the exponent, a number.
    """
    return f'{base}^{{{exponent}}}'

  def _print_Symbol(self, expr, style='plain'):
    """Returns a letter, with the rest of the symbol's name as its index."""
    name = r'\varepsilon' if expr == EPSILON_SYMBOL else expr.name
    return name if name.isalpha() or name.startswith('\\') else f'{name[0]}_{{{name[1:]}}}'
