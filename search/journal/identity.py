"""The identity of a search, as JSON data: the arguments that its results depend on."""

import dataclasses
import math
from typing import Any


def identity_of(**arguments: Any) -> dict[str, Any]:
  """Returns the arguments as JSON data: dataclasses by class and fields, functions and classes by name."""
  return {name: _describe(value) for name, value in arguments.items()}


def _describe(value: Any) -> Any:
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
