"""What a journal's record must hold so that `records` can read it: keys, types and finite numbers.

A journal is written by one program and read by another, years later perhaps, or after somebody's editor. What is
checked here is what any reader relies on; keys that are not known here are left alone.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
import numbers
import re

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.markdown import one_line
from evonorm_tf.output.model_dir import ModelDirError
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import ELSEWHERE
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import OUTCOMES
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.outcomes import STAGES


def _is_index(value) -> bool:
  return type(value) is int and 0 <= value < 2**63


def _is_number(value) -> bool:
  is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
  return is_real and abs(value) < 1e300 and not math.isnan(value)


def _is_origin(value) -> bool:
  return isinstance(value, str) and (
      value in KNOWN_GRAPHS or re.fullmatch(rf'candidate [0-9]{{1,19}} {ELSEWHERE}', value) is not None)


def _is_rung(value) -> bool:
  accuracies, stopped = (value.get('accuracies'), value.get('stopped')) if isinstance(value, dict) else (None, None)
  return _NUMBERS[1](accuracies) and bool(accuracies) and isinstance(stopped, bool)


def _maps(is_valid: Callable) -> Callable:
  """Checks an object by its values."""
  return lambda value: isinstance(value, dict) and all(map(is_valid, value.values()))


def _or_none(is_valid: Callable) -> Callable:
  return lambda value: value is None or is_valid(value)


# Key -> what it must be, in words, and the check.
_TEXT = 'a string', lambda value: isinstance(value, str)
_NUMBERS = 'an object of numbers', _maps(_is_number)
_INDEX = 'an integer from 0 on', _is_index
_FIELDS = {
    'graph': ('a layer graph or null', _or_none(lambda value: isinstance(value, dict))),
    'stage': (f'one of {STAGES}', lambda value: isinstance(value, str) and value in STAGES),
    'outcome': (f'one of {OUTCOMES}', lambda value: isinstance(value, str) and value in OUTCOMES),
    'detail': _TEXT, 'scores': _NUMBERS, 'screening': _NUMBERS, 'seconds': _NUMBERS,
    'gradient_norm': ('a number or null', _or_none(_is_number)), 'elapsed': ('a number', _is_number),
}
_FIELDS_OF_STAGE = {
    REFERENCE: {'name': _TEXT},
    EVOLUTION: {'index': _INDEX,
                'parent': ('an integer from 0 on or null', _or_none(_is_index)),
                'filtered': ('an object of counts', _maps(_is_index))},
    RERANKING: {'name': _TEXT, 'index': ('an integer from 0 on or null', _or_none(_is_index))},
}
# The same of keys that a record may lack.
_OPTIONAL = {
    'test_scores': _NUMBERS,
    'rungs': ('a list of objects with `accuracies` and `stopped`',
              lambda value: isinstance(value, list) and all(map(_is_rung, value))),
}
_OPTIONAL_OF_EVOLUTION = {
    'same_as': _INDEX,
    'origin': (f"a known layer's name or 'candidate … {ELSEWHERE}'", _is_origin),
}


def check_records(path, records: Sequence[dict]) -> None:
  """Checks the records of a journal.

  Args:
    path: of the journal, for the message.
    records: in the order of its lines.

  Raises:
    ModelDirError: naming the file, the number and the key of the first record that is not valid, or there twice.
  """
  met, families = {}, set()
  for number, record in enumerate(records, 1):
    try:
      key = _check_record(record)
      if key in met:
        raise ArgumentError(f'{key[0]} {one_line(repr(key[1]))} is there already, as record {met[key][0]}.')
      if record['stage'] == EVOLUTION and 'same_as' in record:
        _check_copy(record, met.get((EVOLUTION, record['same_as']), (None, None))[1])
      for scores in (record['scores'], record.get('test_scores'), *(r['accuracies'] for r in record.get('rungs', ()))):
        families = families or set(scores or ())
        if scores and set(scores) != families:
          expected, received = (one_line(str(sorted(names))) for names in (families, scores))
          raise ArgumentError(f'scores must be of {expected}, received {received}.')
    except (ValueError, RecursionError) as e:
      raise ModelDirError(f'{path}, record {number}: {e}') from e
    met[key] = number, record
  for number, record in met.values():
    _, parent = met.get((EVOLUTION, record.get('parent')), (None, None))
    if record['stage'] == EVOLUTION and parent and parent['outcome'] != ACCEPTED:
      raise ModelDirError(f'{path}, record {number}: `parent` must be the index of an accepted candidate, received '
                          f'{parent["index"]}: {parent["outcome"]}.')


def _check_record(record: dict) -> tuple:
  """Returns what identifies the record; raises ValueError if it is not valid."""
  _check_fields(record, _FIELDS)
  stage, is_accepted = record['stage'], record['outcome'] == ACCEPTED
  _check_fields(record, _FIELDS_OF_STAGE[stage])
  optional = _OPTIONAL | (_OPTIONAL_OF_EVOLUTION if stage == EVOLUTION else {})
  _check_fields(record, {key: field for key, field in optional.items() if key in record})
  if is_accepted != bool(record['scores']):
    raise ArgumentError(f'`scores` must be there if `outcome` is {ACCEPTED!r}, and only then.')
  if stage == REFERENCE or stage != EVOLUTION and record['index'] is None:
    if record['graph'] is not None:
      raise ArgumentError('`graph` must be null for a known layer.')
  else:
    LayerGraph.from_dict(record['graph'])
  if stage == EVOLUTION and 'origin' in record and record['parent'] is not None:
    raise ArgumentError('`parent` must be null for what a search begins with, which has an `origin`.')
  return stage, record['index'] if stage == EVOLUTION else record['name']


def _check_copy(record: dict, original: dict | None) -> None:
  """Raises ValueError unless the record has the outcome of the one that its `same_as` names: None if there is none."""
  if original is None or 'same_as' in original:
    raise ArgumentError('`same_as` must be the index of an evaluated candidate on record before this one, received '
                        f'{record["same_as"]}.')
  for key in ('outcome', 'scores', 'rungs'):
    if record.get(key) != original.get(key):
      raise ArgumentError(f'`{key}` must be that of candidate {record["same_as"]}, which this one is the `same_as`.')


def _check_fields(record: dict, fields: dict) -> None:
  for key, (expected, is_valid) in fields.items():
    if key not in record:
      raise ArgumentError(f'`{key}` is missing.')
    if not is_valid(record[key]):
      raise ArgumentError(f'`{key}` must be {expected}, received {one_line(repr(record[key]))}.')
