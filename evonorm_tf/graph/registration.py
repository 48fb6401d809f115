"""Primitives and index sets that users add to those of the paper, from outside the package.

What is registered holds in the process that registers it; a search hands it to its worker processes. Layer graphs,
their files and journals name what they need, and reading one in a process without it says what is missing.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import hashlib
from typing import Any

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph import primitives

_POINTS = 64  # values of each argument on which a registration is checked
_STEP = 1e-6  # of the finite difference
_DIFFERENCES = 1e-3  # from it, relative to 1 + |derivative|


@dataclasses.dataclass(frozen=True)
class RegisteredPrimitive(primitives.Primitive):
  """A primitive that a user has added by `register_primitive`, which describes the attributes.

  Attributes:
    tensorflow_form, keras_form, derivative: the functions of these names.
    text, latex: its notation, with {} in the place of the arguments in brackets.
    code: the call in generated files, by the name of the Keras package.
  """
  tensorflow_form: Callable[..., Any] | None = None
  keras_form: Callable[..., Any] | None = None
  derivative: Callable[..., Sequence[np.ndarray]] | None = None
  text: str = ''
  latex: str = ''
  code: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def tangent(self, arguments: Sequence[np.ndarray], tangents: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the derivative of the value along a direction.

    Args:
      arguments: the arguments, arrays that broadcast against each other.
      tangents: the derivatives of the arguments along the direction.
    """
    partials = _partials(self, arguments)
    return sum((partial * dx for partial, dx in zip(partials, tangents)), np.zeros(()))


def register_primitive(name: str, arity: int = 1, *, numpy: Callable[..., np.ndarray], tensorflow: Callable[..., Any],
                       derivative: Callable[..., Any], keras: Callable[..., Any] | None = None,
                       equation: str | tuple[str, str] | None = None, code: str | Mapping[str, str] | None = None
                       ) -> None:
  """Adds an elementwise primitive to those of layer graphs.

  A search draws it where the space names it: `SearchSpace(primitives=(*BUILT_IN, 'softsign'))`, with `BUILT_IN` of
  `evonorm_tf.graph.primitives`. Its functions must be elementwise and broadcast, and finite wherever their arguments
  are; 1 / x is not, and diverges in training.

  Args:
    name: its name in layer graphs, a Python identifier that is not taken.
    arity: the number of its arguments, 1 (default) or 2.
    numpy: the function of that many arrays. It decides in the static filter and in the recognition of equal layers.
    tensorflow: the same function of tensors, which TensorFlow differentiates.
    derivative: a function of the same arrays that returns the derivative with respect to the argument or, with two
      arguments, a pair. Where there is none, it must be what TensorFlow takes for it. It is compared with a finite
      difference.
    keras: the same function by `keras.ops`, for Keras 3 on JAX or PyTorch; None (default) if it is not needed.
    equation: its notation with {} in the place of the arguments in brackets, such as 'softsign{}'; or a pair, in text
      and in LaTeX. None (default) for the name.
    code: the call in generated Python files for tf_keras with {} in the place of the arguments; or a mapping with such
      a text for 'tf_keras' and one for 'keras', files of Keras 3, which import `keras` and `ops`. None (default) if
      layers with it need not be compiled to files.

  Raises:
    ArgumentError: if an argument is not valid: the name is taken, or a function's value has a wrong shape or is not
      finite, or the derivative is not that of `numpy`.

  Example:
    >>> import numpy as np
    >>> import search
    >>> import tensorflow as tf
    >>> search.register_primitive(
    ...     'softsign', numpy=lambda x: x / (1. + np.abs(x)), tensorflow=tf.nn.softsign,
    ...     derivative=lambda x: (1. + np.abs(x))**-2., code='tf.nn.softsign({})')
    >>> space = search.SearchSpace(primitives=('add', 'mul', 'softsign', 'second_moment'))
  """
  _check_name(name)
  if arity not in (1, 2):
    raise ArgumentError(f'`arity` must be 1 or 2, received {arity!r}.')
  text, latex = equation if isinstance(equation, tuple) else (equation or f'{name}{{}}', None)
  latex = latex or rf'\mathrm{{{name}}}{{}}'.replace('_', r'\_')
  primitive = RegisteredPrimitive(
      name, arity, numpy, tensorflow_form=tensorflow, keras_form=keras, derivative=derivative,
      text=_template('equation', text), latex=_template('equation', latex),
      code=_codes(code))
  _check_values(primitive)
  primitives.PRIMITIVES[name] = primitive


def register_index_set(name: str, *, numpy: Callable[[np.ndarray, int], np.ndarray], tensorflow: Callable[..., Any],
                       over_channels: bool = False, keras: Callable[..., Any] | None = None,
                       code: str | Mapping[str, str] | None = None) -> None:
  """Adds an index set to those that the moments of layer graphs average over.

  A search averages over it where the space names it: `SearchSpace(index_sets=('b,w,h', 'w,h', 'h'))`. The set must lie
  within a sample: moments over other samples need moving averages, which only the built-in 'b,w,h' has. Masks are
  refused by layers with it.

  Args:
    name: its name in layer graphs and equations, such as 'h'; not taken, and without blanks.
    numpy: a function of x, [N, ..., C], and the number of channel groups. It returns the mean over the set, which
      broadcasts against x, as NumPy's `keepdims=True` gives it.
    tensorflow: the same function of a tensor.
    over_channels: whether the channels are in the set, so that the mean has one value for all of them (default False).
    keras: the same function by `keras.ops`, for Keras 3 on JAX or PyTorch; None (default) if it is not needed.
    code: the mean in generated Python files for tf_keras, with {} in the place of x, such as
      'tf.reduce_mean({}, 1, keepdims=True)', or a mapping, as for `register_primitive`. None (default) if layers with
      it need not be compiled to files.

  Raises:
    ArgumentError: if an argument is not valid: the name is taken, or the mean has a wrong shape, mixes samples, or is
      not the mean of equal numbers.

  Example:
    >>> import search
    >>> import tensorflow as tf
    >>> search.register_index_set('h', numpy=lambda x, groups: x.mean(1, keepdims=True),
    ...                           tensorflow=lambda x, groups: tf.reduce_mean(x, 1, keepdims=True))
    >>> space = search.SearchSpace(index_sets=('w,h', 'h'))
  """
  if not isinstance(name, str) or not name or any(c.isspace() or c in '{}[]"' for c in name):
    raise ArgumentError(f'`name` must be a text without blanks and brackets, received {name!r}.')
  if name in primitives.INDEX_SETS:
    raise ArgumentError(f'`name` {name!r} is an index set of the paper.')
  index_set = primitives.IndexSet(name, numpy, tensorflow, keras, over_channels, _codes(code))
  _check_average(index_set)
  _check_free(index_set, primitives.REGISTERED_INDEX_SETS.get(name), 'index set')
  primitives.REGISTERED_INDEX_SETS[name] = index_set


def registered(names: Sequence[str] | None = None) -> dict[str, Any]:
  """Returns what users have registered by name: `RegisteredPrimitive` and `IndexSet` objects.

  Args:
    names: the names to look up, of which others are left out; None (default) for all.
  """
  everything: dict[str, Any] = {n: p for n, p in primitives.PRIMITIVES.items() if isinstance(p, RegisteredPrimitive)}
  everything |= primitives.REGISTERED_INDEX_SETS
  return everything if names is None else {n: everything[n] for n in names if n in everything}


def restore(entries: Mapping[str, Any]) -> None:
  """Registers what another process had registered, without checks.

  Args:
    entries: the result of `registered` there.
  """
  for name, entry in entries.items():
    if isinstance(entry, RegisteredPrimitive):
      primitives.PRIMITIVES[name] = entry
    else:
      primitives.REGISTERED_INDEX_SETS[name] = entry


def digest(entry: Any) -> str:
  """Returns a short text that tells a registered primitive or index set from another: of its values on fixed arguments.

  Args:
    entry: a `RegisteredPrimitive` or `IndexSet`.
  """
  if isinstance(entry, RegisteredPrimitive):
    values = entry.numpy_form(*np.meshgrid(*[np.linspace(-4., 4., 33)] * entry.arity))
  else:
    values = entry.numpy_average(np.random.default_rng(1).normal(size=(2, 3, 4, 6)), 2)
  # Of five digits, so that it is the same on other machines.
  return hashlib.sha256(' '.join(f'{value:.5g}' for value in np.ravel(values) + 0.).encode()).hexdigest()[:12]


def _check_free(entry: Any, earlier: Any, kind: str) -> None:
  """Raises ArgumentError if an entry with other values has the name; the same one may be registered again."""
  if earlier is not None and digest(earlier) != digest(entry):
    raise ArgumentError(f'`name` {entry.name!r} is taken by another {kind}.')


def _check_name(name: str) -> None:
  if not isinstance(name, str) or not name.isidentifier():
    raise ArgumentError(f'`name` must be a Python identifier, received {name!r}.')
  if name in primitives.BUILT_IN:
    raise ArgumentError(f'`name` {name!r} is a primitive of the paper.')


def _codes(code: str | Mapping[str, str] | None) -> dict[str, str]:
  """Returns the templates of generated code by the name of the Keras package; a text alone is for tf_keras."""
  by_package = {'tf_keras': code} if isinstance(code, str) else code or {}
  return {package: _template('code', text) for package, text in by_package.items()}


def _template(argument: str, text: Any) -> str:
  """Returns a text with {} in the place of the arguments as a template for `format`, in which other braces stay."""
  if not isinstance(text, str) or text.count('{}') != 1:
    raise ArgumentError(f'`{argument}` must be a text with {{}} in the place of the arguments, received {text!r}.')
  before, after = (part.replace('{', '{{').replace('}', '}}') for part in text.split('{}'))
  return f'{before}{{}}{after}'


def _check_values(primitive: RegisteredPrimitive) -> None:
  """Checks values and derivative on random arguments; raises ArgumentError, also if the name is another primitive's."""
  rng = np.random.default_rng(0)
  arguments = [rng.normal(size=_POINTS) * 2. for _ in range(primitive.arity)]
  value = _called('numpy', primitive.numpy_form, *arguments)
  if np.shape(value) != (_POINTS,) or not np.isfinite(value).all():
    raise ArgumentError(f'`numpy` must return finite values of its arguments\' shape, received the shape '
                        f'{np.shape(value)} for {(_POINTS,)}, or values that are not finite.')
  partials = _partials(primitive, arguments)
  for place, partial in enumerate(np.broadcast_to(partial, value.shape) for partial in partials):
    moved = [[a + sign * _STEP * (i == place) for i, a in enumerate(arguments)] for sign in (1., -1.)]
    slope = (primitive.numpy_form(*moved[0]) - primitive.numpy_form(*moved[1])) / (2. * _STEP)
    wrong = np.flatnonzero(~(np.abs(partial - slope) <= _DIFFERENCES * (1. + np.abs(slope))))
    if wrong.size:
      at = ', '.join(f'{a[wrong[0]]:.4g}' for a in arguments)
      raise ArgumentError(f'`derivative` with respect to argument {place} is {partial[wrong[0]]:.6g} at ({at}), where '
                          f'a finite difference of `numpy` is {slope[wrong[0]]:.6g}.')
  _check_free(primitive, primitives.PRIMITIVES.get(primitive.name), 'primitive')


def _partials(primitive: RegisteredPrimitive, arguments: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
  """Returns the derivatives with respect to each argument."""
  found = _called('derivative', primitive.derivative, *arguments)
  partials = (found,) if primitive.arity == 1 else tuple(found)
  if len(partials) != primitive.arity:
    raise ArgumentError(f'`derivative` must return one array for each of {primitive.arity} arguments, received '
                        f'{len(partials)}.')
  return partials


def _check_average(index_set: primitives.IndexSet) -> None:
  x = np.random.default_rng(0).normal(size=(3, 4, 5, 6))
  mean = _called('numpy', index_set.numpy_average, x, 2)
  expected = 'an array that broadcasts against x'
  if np.ndim(mean) != 4 or any(size not in (1, full) for size, full in zip(np.shape(mean), x.shape)):
    raise ArgumentError(f'`numpy` must return {expected}, received the shape {np.shape(mean)} for {x.shape}.')
  if index_set.over_channels != (mean.shape[-1] == 1):
    raise ArgumentError(f'`over_channels` is {index_set.over_channels}, but `numpy` returns {mean.shape[-1]} channels '
                        'of 6.')
  alone = index_set.numpy_average(x[:1], 2)
  if len(mean) != 3 or not np.allclose(alone, mean[:1]):
    raise ArgumentError('`numpy` must average within each sample: it mixes samples, which would need moving averages.')
  other = np.random.default_rng(1).normal(size=x.shape)
  both = index_set.numpy_average(x + other, 2), mean + index_set.numpy_average(other, 2)
  if not np.allclose(index_set.numpy_average(np.full_like(x, 3.), 2), 3.) or not np.allclose(*both):
    raise ArgumentError('`numpy` must return a mean: that of an array of threes is 3, and that of a sum the sum of the '
                        'means.')
  for shape, groups in (((1, 1, 1, 1), 2), ((1, 1, 1, 6), 4), ((3, 1, 1, 6), 4), ((3, 4, 5, 6), 4)):  # of other nodes
    of_part = _called('numpy', index_set.numpy_average, np.zeros(shape), groups)
    if np.ndim(of_part) != 4 or any(size not in (1, full) for size, full in zip(np.shape(of_part), shape)):
      raise ArgumentError(f'`numpy` must also average arrays of {shape}, with {groups} groups, which layer graphs have '
                          f'too; received the shape {np.shape(of_part)}.')


def _called(argument: str, function: Callable[..., Any] | None, *arguments: Any) -> Any:
  """Returns what a user's function returns; raises ArgumentError that names the argument if it fails."""
  if function is None:
    raise ArgumentError(f'`{argument}` must be a function, received None.')
  try:
    return function(*arguments)
  except Exception as e:
    raise ArgumentError(f'`{argument}` fails on {len(arguments)} arguments: {type(e).__name__}: {e}') from e
