"""Checks across the records of a journal, which no record shows by itself.

No layer has two records of one seed in a stage, a copied outcome equals the original, all scores are of the same
architectures, but for those of the re-ranking, which may have its own, and parents were accepted.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import json
import os
from typing import Any

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.markdown import one_line
from evonorm_tf.output.model_dir import ModelDirError
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import RERANKING
from search.journal.record import Record

# The stage, in it the candidate's index (evolution) or the layer's name, and the number of the training.
_Key = tuple[str, int | str | None, int]


def parse_records(path: str | os.PathLike, lines: Iterable[dict[str, Any]]) -> list[Record]:
  """Returns the records of a journal, each checked by itself and against the others.

  Args:
    path: the journal's path, for error messages.
    lines: the records as JSON data, in the journal's order.

  Returns:
    The records, in the same order.

  Raises:
    ModelDirError: if a record is not valid, duplicates another or contradicts one. The message names the file, the
      record's number, from 1, and what was expected.
  """
  met: dict[_Key, tuple[int, Record]] = {}
  names: dict[bool, set[str]] = {False: set(), True: set()}  # of the stages before the re-ranking, and of that
  for number, line in enumerate(lines, 1):
    try:
      record = Record.from_json(line)
      key = record.stage, record.index if record.stage == EVOLUTION else record.name, record.seed or 0
      if key in met:
        seed = f', seed {key[2]},' if key[2] else ''
        raise ArgumentError(f'{key[0]} {one_line(repr(key[1]))}{seed} is there already, as record {met[key][0]}.')
      if record.same_as is not None:
        _check_copy(record, met.get((EVOLUTION, record.same_as, 0), (0, None))[1])
      is_final = record.stage == RERANKING
      names[is_final] = _check_architectures(record, names[is_final])
    except (ValueError, RecursionError) as e:
      raise ModelDirError(f'{path}, record {number}: {e}') from e
    met[key] = number, record
  _check_parents(path, met)
  return [record for _, record in met.values()]


def checked_record(make: Callable[[], Record], name: str, scored_in: dict[bool, set[str]]) -> Record:
  """Returns a record as a journal will give it back, with NumPy's numbers as Python's own.

  Args:
    make: returns the record, of an outcome that may be of a user's evaluation.
    name: the layer's name.
    scored_in: the architectures of the records before it, as `Tally.scored_in`; those of a first record are added.

  Raises:
    ArgumentError: if a journal could not be read again with it; the message says what an evaluation must return.
  """
  try:
    record = make()
    again = Record.from_json(json.loads(json.dumps(record.to_json(), default=_number)))
    is_final = again.stage == RERANKING
    scored_in[is_final] = _check_architectures(again, scored_in[is_final])
  except (ValueError, TypeError, RecursionError) as e:
    raise ArgumentError(f'the evaluation of {name} returned what a journal cannot hold: {e}') from e
  return again


def _number(value: Any) -> Any:
  """Returns a number of NumPy or TensorFlow as one of Python's."""
  if getattr(value, 'shape', None) == ():
    return value.item() if hasattr(value, 'item') else value.numpy().item()
  raise TypeError(f'{type(value).__name__} is no number')


def _check_copy(record: Record, original: Record | None) -> None:
  """Raises ArgumentError unless the record copies `original`; None stands for a candidate without an earlier record."""
  if original is None or original.is_copy:
    raise ArgumentError('`same_as` must be the index of an evaluated candidate on record before this one, received '
                        f'{record.same_as}.')
  for key in ('outcome', 'scores', 'rungs', 'confirmation', 'cost'):
    if getattr(record, key) != getattr(original, key):
      raise ArgumentError(f'`{key}` must be that of candidate {record.same_as}, which this one is the `same_as`.')


def _check_architectures(record: Record, names: set[str]) -> set[str]:
  """Checks that all scores of a record are of the same architectures.

  Args:
    record: the record.
    names: the architectures of earlier records; empty as long as no record had scores.

  Returns:
    The architectures, empty as long as no record had scores.

  Raises:
    ArgumentError: if scores are of other architectures.
  """
  all_scores: list[Mapping[str, float]] = [record.scores, record.test_scores or {}, record.confirmation or {}]
  for scores in filter(None, [*all_scores, *(rung['accuracies'] for rung in record.rungs or ())]):
    names = names or set(scores)
    if set(scores) != names:
      expected, received = (one_line(str(sorted(n))) for n in (names, scores))
      raise ArgumentError(f'scores must be of {expected}, received {received}.')
  return names


def _check_parents(path: str | os.PathLike, met: Mapping[_Key, tuple[int, Record]]) -> None:
  """Raises ModelDirError unless all parents that have a record were accepted."""
  for number, record in met.values():
    _, parent = met.get((EVOLUTION, record.parent, 0), (0, None))
    if parent and not parent.is_accepted:
      raise ModelDirError(f'{path}, record {number}: `parent` must be the index of an accepted candidate, received '
                          f'{parent.index}: {parent.outcome}.')
