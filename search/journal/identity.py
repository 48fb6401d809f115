"""The identity of a search, as JSON data: the arguments that its results depend on.

Arguments that came later than the first journals have a value in these, too: that of what the searches did then.
"""

import dataclasses
import math
from typing import Any

# The values of fields, by class, that earlier journals do not have.
_FIELDS_BEFORE: dict[str, dict[str, Any]] = {
    'Evaluation': {'confirms': False, 'best_score': None, 'measures_cost': False, 'jit_compile': False},
    'ProxyTask': {'training_seed': None},
    'Reranking': {'seeds': 1},
    'SearchSpace': {'uniform_over': 'pairs'},
    'TournamentEvolution': {'mutations': 1, 'random_offspring': 0.},
}


def identity_of(**arguments: Any) -> dict[str, Any]:
  """Returns arguments as JSON data, so that two searches can be compared.

  Dataclass objects become objects with their fields and the class's name under 'class'. Functions and classes become
  their names, tuples become lists, and infinities and NaN become strings.

  Args:
    **arguments: the arguments by name, such as `evaluation` or `seed`.

  Returns:
    A dictionary with the same names.
  """
  return {name: _describe(value) for name, value in arguments.items()}


def completed(identity: dict[str, Any]) -> dict[str, Any]:
  """Returns the identity in a journal, perhaps an earlier one, with the values that it does not name.

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
  return {**before, **{k: _completed(v) for k, v in value.items()}}


def _describe(value: Any) -> Any:
  """Returns one value as JSON data."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    fields = {f.name: _describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return {'class': type(value).__name__, **fields}
  if isinstance(value, dict):
    return {str(k): _describe(v) for k, v in value.items()}
  if isinstance(value, (tuple, list)):
    return [_describe(v) for v in value]
  if callable(value):
    return value.__qualname__
  if isinstance(value, float) and not math.isfinite(value):
    return str(value)  # JSON has no such number
  return value
