"""The start of a console command, such as `evonorm-search`, which is that of `python -m` on the binary's module."""

from collections.abc import Callable
from collections.abc import Sequence
import sys
from typing import Any

from absl import app
from absl import flags


def run_command(main: Callable[[Sequence[str]], Any]) -> None:
  """Parses the flags, calls a binary's `main` with what is left of the command line, and exits.

  Help comes from absl, which looks for it in the module `__main__`: of a console command that is a script by pip, which
  knows nothing. So that script gets the docstring and the flags of the binary.

  Args:
    main: the function of that name of a module whose docstring is the help.
  """
  binary = sys.modules[main.__module__]
  sys.modules['__main__'].__doc__ = binary.__doc__
  for flag in flags.FLAGS.get_key_flags_for_module(binary.__name__):
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  app.run(main)
