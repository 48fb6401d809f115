"""Ways in which Python loses a Ctrl-C, for the tests of what honours it all the same."""

import signal
import weakref

import pytest


def ctrl_c(*_):
  signal.raise_signal(signal.SIGINT)


class Dropping:
  """Its finalizer meets a Ctrl-C, whose exception Python drops."""
  __del__ = ctrl_c


def in_finalizer():
  Dropping()


def in_weakref_callback():
  thing = type('Thing', (), {})()
  reference = weakref.ref(thing, ctrl_c)
  del thing
  assert reference() is None


def in_except_clause():
  try:
    ctrl_c()
  except KeyboardInterrupt:
    pass


DROPS = pytest.mark.parametrize('drop', (in_finalizer, in_weakref_callback, in_except_clause))
