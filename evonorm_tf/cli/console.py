"""The entry point of console commands such as `evonorm-search`, which behave like `python -m` on the same module."""

from collections.abc import Callable
from collections.abc import Sequence
import sys
from typing import Any

from absl import app
from absl import flags

_HELP = {'--help', '-help', '-h', '-?'}


def run_command(main: Callable[[Sequence[str]], Any]) -> None:
  """Parses the flags, calls a command's `main` with the remaining arguments, and exits; with --help, prints the help.

  absl takes the text for --help from the module `__main__`. For a console command, that is a script that pip has
  written, with neither a docstring nor flags. So this function gives it those of the command's module.

  Args:
    main: the function `main` of the command's module, whose docstring is the help text.
  """
  binary = sys.modules[main.__module__]
  sys.modules['__main__'].__doc__ = binary.__doc__
  for flag in flags.FLAGS.get_key_flags_for_module(binary.__name__):
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  if _HELP & set(sys.argv[1:]):  # absl's own would exit with code 1
    app.usage(shorthelp=True, writeto_stdout=True)
    sys.exit(0)
  app.run(main)
