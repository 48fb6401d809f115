"""The flag --import_module, by which a command imports modules that register a user's primitives."""

import importlib
import os
import sys

from absl import flags

from evonorm_tf.errors import ArgumentError

_MODULES = flags.DEFINE_multi_string(
    'import_module', [],
    'A module to import first, from the current folder or any of Python\'s, which registers primitives that a layer '
    'needs; once for each.')


def import_users_modules() -> None:
  """Imports the modules that the flag names.

  Raises:
    ArgumentError: if one cannot be found.
  """
  if os.getcwd() not in sys.path:  # a console command's path holds its script's folder instead
    sys.path.append(os.getcwd())
  for module in _MODULES.value:
    try:
      importlib.import_module(module)
    except ModuleNotFoundError as e:
      raise ArgumentError('`--import_module` must be a module that Python finds, such as one in the current folder, '
                          f'received {module!r}: {e}.') from e
