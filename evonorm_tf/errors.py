"""The errors that evonorm-tf raises on purpose: one base class, so that a program can tell them from mistakes in code.

Each also derives from the built-in error that fits, so that `except ValueError` works as usual.
"""


class EvoNormError(Exception):
  """An error with a message for the user: an argument, a file or the machine is at fault, and not this library.

  The commands print its message alone; every other error ends them with a traceback.
  """


class ArgumentError(EvoNormError, ValueError):
  """An argument, a configuration or the content of a file is not valid; the message names what was expected."""
