"""The identity of a search, as JSON data: the arguments that its results depend on.

Arguments that came later than the first journals have a value in these, too: that of what the searches did then.
"""

from collections.abc import Callable
import dataclasses
import functools
import inspect
import json
import math
import pathlib
import types
from typing import Any
import zlib

import numpy as np

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import without_folder

_LARGE, _KEPT = 2 ** 20, 16  # bytes of an array whose checksum is kept; checksums
_CHECKSUMS: dict[tuple[int, int], tuple[np.ndarray, int]] = {}  # of read-only arrays, by place in memory and size

# The values of fields, by class, that earlier journals do not have.
_FIELDS_BEFORE: dict[str, dict[str, Any]] = {
    'Evaluation': {'confirms': False, 'best_score': None, 'measures_cost': False, 'jit_compile': False,
                   'tests': []},
    'Architecture': {'build': None},
    'ProxyTask': {'training_seed': None, 'data': None, 'flips': True},
    'Reranking': {'seeds': 1, 'min_difference': 0.},
    'SearchSpace': {'uniform_over': 'pairs', 'primitives': None},
    'TournamentEvolution': {'mutations': 1, 'random_offspring': 0., 'objective': None,
                            'mutation': 'mutate', 'niche': None},
}


def identity_of(**arguments: Any) -> dict[str, Any]:
  """Returns arguments as JSON data, so that two searches can be compared.

  Dataclass objects become objects with their fields and the class's name under 'class', other objects of users likewise
  with their attributes. Functions and classes become their names, those without one of their own with a checksum of
  their code. Tuples become lists, sets objects with sorted members, arrays their shape and a checksum, and infinities
  and NaN strings.

  Args:
    **arguments: the arguments by name, such as `evaluation` or `seed`.

  Returns:
    A dictionary with the same names.

  Raises:
    ArgumentError: if a value cannot be described, such as an open file; the message names its class.
  """
  return {name: _describe(value) for name, value in arguments.items()}


def cache_key(value: Any) -> str:
  """Returns a text that tells a value from others in one process, also where functions came from another process.

  Other than in an identity, functions count with their module and code, so that an edited one is another.

  Args:
    value: as the arguments of `identity_of`.

  Raises:
    ArgumentError: as `identity_of`.
  """
  return json.dumps(_describe(value, _full_name))


def completed(identity: dict[str, Any]) -> dict[str, Any]:
  """Returns the identity in a journal, perhaps an earlier one, with the values that it does not name.

  The path of a data folder does not count, only whether there is one.

  Args:
    identity: the identity as JSON data.
  """
  before = {'same_layer': 'exact'} if 'equivalents' in identity else {}
  return {**before, **_completed(identity)}


def _completed(value: Any) -> Any:
  if isinstance(value, list):
    return [_completed(v) for v in value]
  if not isinstance(value, dict):
    return value
  name = value.get('class')
  before = _FIELDS_BEFORE.get(name, {}) if isinstance(name, str) else {}
  return {**before, **{k: without_folder(k, _completed(v)) for k, v in value.items()}}


def _describe(value: Any, name_of: Callable[[Any], str] | None = None) -> Any:
  """Returns one value as JSON data; `name_of` describes functions and classes, `_name` by default."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    fields = {f.name: _describe(getattr(value, f.name), name_of) for f in dataclasses.fields(value)}
    return {'class': type(value).__name__, **fields}
  if isinstance(value, dict):
    return {str(k): _describe(v, name_of) for k, v in value.items()}
  if isinstance(value, (tuple, list)):
    return [_describe(v, name_of) for v in value]
  if isinstance(value, (set, frozenset)):  # whose order is another in each process
    return {'class': 'set', 'members': sorted((_describe(v, name_of) for v in value), key=json.dumps)}
  if isinstance(value, float) and not math.isfinite(value):
    return str(value)  # JSON has no such number
  if value is None or isinstance(value, (str, int, float)):
    return value
  return _describe_object(value, name_of or _name)


def _describe_object(value: Any, name_of: Callable[[Any], str]) -> Any:
  """Returns a function, class, array or other object of a user as JSON data."""
  function = inspect.unwrap(value) if callable(value) else value  # of functools.cache and the like
  if isinstance(function, (types.FunctionType, types.BuiltinFunctionType, type)):
    return name_of(function)
  if isinstance(value, types.MethodType):
    return {'class': 'method', 'function': name_of(value.__func__), 'self': _describe(value.__self__, name_of)}
  if isinstance(value, functools.partial):
    parts = {'function': value.func, 'args': value.args, 'keywords': value.keywords}
    return {'class': 'partial', **{name: _describe(part, name_of) for name, part in parts.items()}}
  if isinstance(value, np.generic):
    return _describe(value.item(), name_of)
  if isinstance(value, pathlib.PurePath):
    return str(value)
  if isinstance(value, np.ndarray) or hasattr(value, 'numpy') and hasattr(value, 'shape'):  # a tensor
    return _describe_array(np.ascontiguousarray(value))
  if hasattr(value, '__dict__') and not isinstance(value, types.ModuleType):
    return {'class': type(value).__name__, **{str(k): _describe(v, name_of) for k, v in vars(value).items()}}
  raise ArgumentError(f'An object of {type(value).__name__} cannot identify a search; a dataclass would.')


def _describe_array(array: np.ndarray) -> str:
  """Returns the shape and a checksum of an array; the checksums of large ones that are read-only are kept.

  A view that is read-only may change with its base; `ProxyTask` keeps copies, which cannot.
  """
  place = array.ctypes.data, array.nbytes
  known, checksum = _CHECKSUMS.get(place, (None, 0))
  if known is None or array.flags.writeable:
    checksum = zlib.crc32(array.tobytes())
    if array.nbytes > _LARGE and not array.flags.writeable:
      _CHECKSUMS[place] = array, checksum  # the array is kept, too, so that no other one comes to lie there
      while len(_CHECKSUMS) > _KEPT:
        del _CHECKSUMS[next(iter(_CHECKSUMS))]
  return f'array {list(array.shape)}, checksum {checksum:08x}'


def _name(function: Any) -> str:
  """Returns the name of a function or class; with a checksum of its code where that says too little."""
  return function.__qualname__ + (f' {_checksum(function)}' if '<' in function.__qualname__ else '')


def _full_name(function: Any) -> str:
  """Returns the name of a function or class with its module and a checksum of its code."""
  return f'{function.__module__}.{function.__qualname__} {_checksum(function)}'


def _checksum(function: Any) -> str:
  """Returns a checksum of a function's code, defaults and closure; of the name of anything else."""
  if not isinstance(function, types.FunctionType):
    return ''
  cells = [cell.cell_contents for cell in function.__closure__ or () if cell is not None]
  values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *cells]
  return f'{zlib.crc32(repr((_code(function.__code__), [_text(v) for v in values])).encode()):08x}'


def _code(code: types.CodeType) -> tuple:
  constants = [_code(c) if isinstance(c, types.CodeType) else _constant(c) for c in code.co_consts]
  return code.co_code, code.co_names, constants


def _constant(value: Any) -> str:
  """Returns a constant of a function's code as text; that of a set, as in `x in {'a', 'b'}`, has one order always."""
  return f'frozenset({sorted(map(_constant, value))})' if isinstance(value, frozenset) else repr(value)


def _text(value: Any) -> str:
  """Returns what a function holds as text; of an object that cannot be described, its class."""
  try:
    return json.dumps(_describe(value))
  except Exception:  # whatever an object's own attributes raise
    return type(value).__name__
