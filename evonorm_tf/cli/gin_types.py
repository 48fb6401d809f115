"""A check of a gin configuration's values against the type hints of the functions and classes that receive them.

It looks at what hints say without doubt: numbers, strings, sequences, mappings, callables, classes. Any other hint lets
every value pass, and the function's own checks follow.
"""

import collections.abc
from collections.abc import Callable
import inspect
import numbers
import types
import typing
from typing import Any

import gin

from evonorm_tf.errors import ArgumentError

_MACRO, _CONSTANT = 'gin.macro', 'gin.constant'
_WORDS = {int: 'an integer', float: 'a number', bool: 'True or False', str: 'a string', type(None): 'None'}
_MAX_MACROS = 100  # that read each other in a row; a macro that reads itself does so without end
_ANYTHING = (object, Any)  # `Any` is a class from Python 3.11 on
_LITERALS = (str, bytes, numbers.Number, tuple, list, dict, type(None))  # what gin reads without calling anything


def check() -> None:
  """Checks all values of the parsed configuration.

  Raises:
    ArgumentError: for the first value that its argument's type hint excludes, such as a string for an integer, or
      `@Class` for an object, which `@Class()` makes.
  """
  # gin has no public access to the values that are bound, here and below.
  for (scope, selector), arguments in list(gin.config._CONFIG.items()):  # noqa: SLF001
    if selector in (_MACRO, _CONSTANT):
      continue
    hints = _hints(gin.config._REGISTRY[selector].wrapped)  # noqa: SLF001
    for name, value in arguments.items():
      value = _without_macro(value)
      hint = hints.get(name, Any)
      if not _fits(value, hint):
        key = '/'.join(filter(None, (scope, f'{selector.rpartition(".")[2]}.{name}')))
        raise ArgumentError(f'`{key}` must be {_in_words(hint)}, received {value!r}.{_remedy(value, hint)}')


def _hints(function: Callable) -> dict[str, Any]:
  """Returns the type hints of a function's arguments, or a class's; empty where they cannot be evaluated."""
  try:
    return typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
  except Exception:  # a name that exists for type checkers only, or no function at all
    return {}


def _without_macro(value: Any) -> Any:
  """Returns the value of a macro instead of the reference to it, and any other value as it is."""
  for _ in range(_MAX_MACROS):
    if not isinstance(value, gin.config.ConfigurableReference) or value.selector != _MACRO:
      break
    bound = gin.config._CONFIG.get(('/'.join(value.scopes), _MACRO), {})  # noqa: SLF001
    if 'value' not in bound:
      return value
    value = bound['value']
  return value


def _fits(value: Any, hint: Any) -> bool:
  """Returns whether a value may be passed where a type hint stands; True in doubt."""
  value = _without_macro(value)
  origin, parts = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return any(_fits(value, part) for part in parts)
  if isinstance(value, gin.config.ConfigurableReference):
    return _reference_fits(value, hint if origin is None else origin)
  if not isinstance(value, _LITERALS):
    return True
  if origin is typing.Literal:
    return value in parts
  kind = hint if origin is None else origin
  if kind in (int, float):
    return isinstance(value, numbers.Integral if kind is int else numbers.Real) and not isinstance(value, bool)
  if kind is bool:
    return value in (0, 1)  # 0 and 1 are usual
  if kind is None:
    return value is None
  if not inspect.isclass(kind) or kind in _ANYTHING:
    return True
  if _is_protocol(kind):  # a number is none of ours
    return not isinstance(value, (numbers.Number, type(None)))
  return _object_fits(value, kind, parts)


def _object_fits(value: Any, kind: type, parts: tuple) -> bool:
  """Returns whether a literal fits to a class with parameters, such as Sequence and (str,)."""
  if isinstance(value, dict) and issubclass(dict, kind):
    keys, values = (*parts, Any, Any)[:2]
    return all(_fits(k, keys) and _fits(v, values) for k, v in value.items())
  if isinstance(value, (list, tuple)) and (issubclass(list, kind) or kind is tuple):  # gin users take either
    if kind is tuple and parts and parts[-1] is not Ellipsis:
      return len(value) == len(parts) and all(map(_fits, value, parts))
    return all(_fits(v, parts[0]) for v in value) if parts else True
  if isinstance(value, str) and kind is not str:
    return issubclass(str, kind) and not issubclass(kind, collections.abc.Iterable)  # not as a sequence of letters
  return isinstance(value, kind)


def _reference_fits(reference: Any, kind: Any) -> bool:
  """Returns whether `@function`, or the result of `@function()`, may be passed where a type hint's class stands."""
  made_by = reference.configurable.wrapped
  if not inspect.isclass(kind) or kind in (*_ANYTHING, collections.abc.Callable):
    return True
  if _is_protocol(kind):  # of which a class is no object
    return reference.evaluate or not inspect.isclass(made_by)
  if not inspect.isclass(made_by):  # what a function returns is not known
    return reference.evaluate or kind not in _WORDS
  return issubclass(made_by if reference.evaluate else type, kind)


def _is_protocol(kind: type) -> bool:
  return getattr(kind, '_is_protocol', False)  # `typing.is_protocol` is there from Python 3.13 on


def _in_words(hint: Any) -> str:
  """Returns what a type hint asks for, such as 'an integer or None'."""
  origin, parts = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return ' or '.join(_in_words(part) for part in parts)
  if origin is typing.Literal:
    return f'one of {parts}'
  kind = hint if origin is None else origin
  if kind in _WORDS:
    return _WORDS[kind]
  if kind is collections.abc.Callable:
    return 'a function'
  if not inspect.isclass(kind):
    return inspect.formatannotation(hint)
  if _is_protocol(kind):
    return f'an object of {kind.__name__}'
  if issubclass(dict, kind):
    return 'a dictionary'
  if issubclass(kind, tuple) or issubclass(list, kind):
    elements = dict.fromkeys(_in_words(part) for part in parts if part not in (Ellipsis, Any))
    return f'a list, each element {" and ".join(elements)}' if elements else 'a list'
  return f'an object of {kind.__name__}'


def _remedy(value: Any, hint: Any) -> str:
  """Returns a sentence about a mistake that is easily made; empty if it is another one."""
  if isinstance(value, gin.config.ConfigurableReference) and not value.evaluate:
    return f' {value!r}() makes one.' if inspect.isclass(value.configurable.wrapped) else ''
  if isinstance(value, str) and 'a list' in _in_words(hint):
    return f' A list of one is ({value!r},).'
  return ''
