"""The notation of equations: symbols, the order of terms and factors, printers of text and LaTeX (paper section 2)."""

from collections.abc import Callable

import sympy
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

X, V0, V1, Y = sympy.symbols('x v0 v1 y')
EPSILON_SYMBOL = sympy.Symbol('ε', positive=True)
_SUPERSCRIPTS = str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹')


def is_negative(expr: sympy.Expr) -> bool:
  """Returns whether every term has a minus sign."""
  return all(term.as_coeff_Mul()[0].is_negative for term in sympy.Add.make_args(expr))


def _term_key(term: sympy.Expr) -> tuple:
  """Terms in the paper's order: v1·x + s(x); s(x) − x; v1·(…) + v0; x + 1."""
  return (term.as_coeff_Mul()[0].is_negative, term.is_Rational, term.free_symbols <= {V0, V1, EPSILON_SYMBOL},
          term.has(sympy.Function), term.sort_key())


def _factor_key(factor: sympy.Expr) -> tuple:
  """Factors in the paper's order: constants, vectors and x, sums, functions."""
  base, _ = factor.as_base_exp()
  rank = 0 if base.free_symbols <= {EPSILON_SYMBOL} else 1 if base.is_Symbol else 2 if base.is_Add else 3
  return rank, factor.sort_key()


class NotationMixin:
  """The order of terms and factors and the notation of functions, for SymPy's printers of text and of LaTeX."""
  _print: Callable[..., str]
  brackets: Callable[..., str]
  times: str

  def factor(self, expr: sympy.Expr) -> str:
    """Returns the expression as a factor of a product: a sum in brackets."""
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
    return getattr(expr, self.form).format(arguments, axes=expr.axes)

  def product(self, factors: list[sympy.Expr]) -> str:
    """Returns a product of factors, or the only one as it is."""
    return self._print(factors[0]) if len(factors) == 1 else self.times.join(map(self.factor, factors))


class TextPrinter(NotationMixin, StrPrinter):
  """Prints expressions as text in Unicode."""
  form, minus, times, root, affine = 'text', '−', '·', '√{}', ' · γ + β'

  def brackets(self, text: str, kind: str = '()') -> str:
    """Returns the text in a pair of brackets."""
    return kind[0] + text + kind[1]

  def fraction(self, over: list[sympy.Expr], under: list[sympy.Expr]) -> str:
    """Returns a·b / c or a / (b·c)."""
    divisor = self.factor(under[0]) if len(under) == 1 else self.brackets(self.product(under))
    return f'{self.times.join(map(self.factor, over))} / {divisor}'

  def power(self, base: str, exponent: sympy.Expr) -> str:
    """Returns a power, an integer exponent as a superscript."""
    return base + (str(exponent).translate(_SUPERSCRIPTS) if exponent.is_Integer else f'^({exponent})')


class TexPrinter(NotationMixin, LatexPrinter):
  """Prints expressions in LaTeX's math mode."""
  form, minus, times, root, affine = 'latex', '-', r' \, ', r'\sqrt{{{}}}', r' \cdot \gamma + \beta'

  def brackets(self, text: str, kind: str = '()') -> str:
    """Returns the text in a pair of brackets, which grow with a fraction."""
    return rf'\left{kind[0]}{text}\right{kind[1]}' if r'\frac' in text else kind[0] + text + kind[1]

  def fraction(self, over: list[sympy.Expr], under: list[sympy.Expr]) -> str:
    """Returns a quotient of products."""
    return rf'\frac{{{self.product(over)}}}{{{self.product(under)}}}'

  def power(self, base: str, exponent: sympy.Expr) -> str:
    """Returns a power."""
    return f'{base}^{{{exponent}}}'

  def _print_Symbol(self, expr, style='plain'):
    """A letter and its index."""
    name = r'\varepsilon' if expr == EPSILON_SYMBOL else expr.name
    return name if name.isalpha() or name.startswith('\\') else f'{name[0]}_{{{name[1:]}}}'
