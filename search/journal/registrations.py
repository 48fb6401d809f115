"""What a search needs of the primitives and index sets that users register, in its journal's header."""

from collections.abc import Mapping
from typing import Any

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.registration import digest
from evonorm_tf.graph.registration import registered
from search.graphs.random_graph import SearchSpace

REGISTERED = 'registered'  # the key in the header


def registrations(space: SearchSpace) -> dict[str, dict[str, str]]:
  """Returns what the header says of a search space: {} for the paper's primitives and index sets alone.

  Args:
    space: the search space.

  Returns:
    Under 'registered', a checksum of the values of each that a user has registered, by name.
  """
  added = registered((*(space.primitives or ()), *space.index_sets))
  return {REGISTERED: {name: digest(entry) for name, entry in added.items()}} if added else {}


def check_registered(config: Mapping[str, Any]) -> None:
  """Checks that this process has what a search needs.

  Args:
    config: the configuration in the search's header.

  Raises:
    ArgumentError: if something is not registered, or with other values; the message names it.
  """
  needed = config.get(REGISTERED) or {}
  have = {name: digest(entry) for name, entry in registered(list(needed)).items()}
  missing = sorted(needed.keys() - have.keys())
  if missing:
    raise ArgumentError(f'this search needs {", ".join(map(repr, missing))}, not registered in this process: call '
                        '`search.register_primitive` or `search.register_index_set` first, as it was done for the '
                        'search; the commands that read searches have --import_module for it.')
  other = sorted(name for name in needed if needed[name] != have[name])
  if other:
    raise ArgumentError(f'this search was run with another {other[0]!r} than the one that is registered: their values '
                        'differ.')
