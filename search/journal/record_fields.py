"""The keys of a record's JSON data, and a check of the value of each.

A journal is written by one program and read by another, perhaps years later or after someone has edited it; these
checks make its values reliable. Keys that are not known here are left alone.
"""

from collections.abc import Callable
import math
import numbers
import re
from typing import Any

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.markdown import one_line
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.journal.outcomes import ELSEWHERE
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import OUTCOMES
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.outcomes import STAGES


def _is_index(value: Any) -> bool:
  return type(value) is int and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
  is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
  return is_real and abs(value) < 1e300 and not math.isnan(value)


def _is_origin(value: Any) -> bool:
  return isinstance(value, str) and (
      value in KNOWN_GRAPHS or re.fullmatch(rf'candidate [0-9]{{1,19}} {ELSEWHERE}', value) is not None)


def _is_rung(value: Any) -> bool:
  accuracies, stopped = (value.get('accuracies'), value.get('stopped')) if isinstance(value, dict) else (None, None)
  return _NUMBERS[1](accuracies) and bool(accuracies) and isinstance(stopped, bool)


def _maps(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
  """Returns a check of JSON objects: all their values must pass `is_valid`."""
  return lambda value: isinstance(value, dict) and all(map(is_valid, value.values()))


def _or_none(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
  """Returns a check that passes None, and otherwise is `is_valid`."""
  return lambda value: value is None or is_valid(value)


# Key -> the values that it may have, in words for error messages, and as a check.
_TEXT = 'a string', lambda value: isinstance(value, str)
_NUMBERS = 'an object of numbers', _maps(_is_number)
_INDEX = 'an integer from 0 on', _is_index
_INDEX_OR_NONE = 'an integer from 0 on or null', _or_none(_is_index)
_Checks = dict[str, tuple[str, Callable[[Any], bool]]]
_FIELDS: _Checks = {
    'graph': ('a layer graph or null', _or_none(lambda value: isinstance(value, dict))),
    'stage': (f'one of {STAGES}', lambda value: isinstance(value, str) and value in STAGES),
    'outcome': (f'one of {OUTCOMES}', lambda value: isinstance(value, str) and value in OUTCOMES),
    'detail': _TEXT, 'scores': _NUMBERS, 'screening': _NUMBERS, 'seconds': _NUMBERS,
    'gradient_norm': ('a number or null', _or_none(_is_number)), 'elapsed': ('a number', _is_number),
}
_FIELDS_OF_STAGE: dict[str, _Checks] = {
    REFERENCE: {'name': _TEXT},
    EVOLUTION: {'index': _INDEX, 'parent': _INDEX_OR_NONE, 'filtered': ('an object of counts', _maps(_is_index))},
    RERANKING: {'name': _TEXT, 'index': _INDEX_OR_NONE},
}
# The same for keys that need not be there.
_OPTIONAL: _Checks = {
    'test_scores': _NUMBERS,
    'confirmation': _NUMBERS,
    'rungs': ('a list of objects with `accuracies` and `stopped`',
              lambda value: isinstance(value, list) and all(map(_is_rung, value))),
    'cost': ('an object of numbers or nulls', _maps(_or_none(_is_number))),
}
_OPTIONAL_OF_EVOLUTION: _Checks = {
    'same_as': _INDEX,
    'origin': (f"a known layer's name or 'candidate … {ELSEWHERE}'", _is_origin),
}
_OPTIONAL_OF_RERANKING: _Checks = {'seed': _INDEX}


def split_fields(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
  """Checks each key of a record's JSON data by itself, and separates the known keys from the others.

  Args:
    data: the JSON object.

  Returns:
    The keys that records of this stage have, and all others, each with their values.

  Raises:
    ArgumentError: if a key is missing or not valid; the message names the first such key.
  """
  _check(data, _FIELDS)
  stage = data['stage']
  _check(data, _FIELDS_OF_STAGE[stage])
  optional = _OPTIONAL | {EVOLUTION: _OPTIONAL_OF_EVOLUTION, RERANKING: _OPTIONAL_OF_RERANKING}.get(stage, {})
  present = {key: check for key, check in optional.items() if key in data}
  _check(data, present)
  known = _FIELDS.keys() | _FIELDS_OF_STAGE[stage].keys() | present.keys()
  return {k: v for k, v in data.items() if k in known}, {k: v for k, v in data.items() if k not in known}


def _check(data: dict[str, Any], fields: _Checks) -> None:
  """Raises ArgumentError unless `data` has all of these keys with valid values."""
  for key, (expected, is_valid) in fields.items():
    if key not in data:
      raise ArgumentError(f'`{key}` is missing.')
    if not is_valid(data[key]):
      raise ArgumentError(f'`{key}` must be {expected}, received {one_line(repr(data[key]))}.')
