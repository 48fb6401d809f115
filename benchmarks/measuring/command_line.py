"""Flags of the benchmarks that are checked before anything is measured."""

from collections.abc import Iterable
from collections.abc import Sequence
import os
import pathlib

from absl import flags

flags.disclaim_key_flags()  # `--help` of a benchmark shows these flags as its own


def define_names(name: str, default: Sequence[str], allowed: Iterable[str], help_text: str, least: int = 1
                 ) -> flags.FlagHolder:
  """Defines a flag whose value is a list of names, separated by commas, and returns its holder.

  Args:
    name: the flag's name.
    default: the names if the flag is not given.
    allowed: the names that the list may have; any other one is refused.
    help_text: what the flag means.
    least: the least number of names (default 1).
  """
  known = list(allowed)
  holder = flags.DEFINE_list(name, list(default), f'{help_text} Of {", ".join(known)}.')
  flags.register_validator(holder, lambda names: len(names) >= least and set(names) <= set(known),
                           f'must be {"one or more" if least else "any"} of {", ".join(known)}, separated by commas')
  return holder


def define_seeds() -> flags.FlagHolder:
  """Defines the flag `--seeds` of a study of searches, texts of different integers from 0 on; returns its holder."""
  holder = flags.DEFINE_list('seeds', ['0', '1', '2'], 'Of the searches.')
  flags.register_validator(holder, lambda seeds: all(seed.isdecimal() for seed in seeds) and
                           0 < len(seeds) == len({*map(int, seeds)}),
                           'must be different integers from 0 on, separated by commas')
  return holder


def define_json() -> flags.FlagHolder:
  """Defines the flag `--json`, the file to which a benchmark writes its figures, and returns its holder."""
  holder = flags.DEFINE_string('json', None, 'Writes the figures to this file.')
  flags.register_validator(holder, lambda path: path is None or _can_be_written(pathlib.Path(path)),
                           'must be a file in a folder that exists and can be written')
  return holder


def _can_be_written(path: pathlib.Path) -> bool:
  return not path.is_dir() and os.access(path if path.exists() else path.absolute().parent, os.W_OK)
