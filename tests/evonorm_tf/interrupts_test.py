"""Ctrl-C: one that Python drops or that becomes another error is honoured all the same; handlers are left as found."""

import signal
import subprocess
import sys
import threading

import pytest

from evonorm_tf.interrupts import interrupts_noted
from evonorm_tf.interrupts import raise_if_interrupted
from tests.lost_interrupts import ctrl_c
from tests.lost_interrupts import DROPS
from tests.lost_interrupts import in_finalizer

pytestmark = pytest.mark.usefixtures('ctrl_c_raises')


@DROPS
def test_one_that_is_dropped_is_raised_at_the_next_look(drop, capsys):
  with pytest.raises(KeyboardInterrupt):
    with interrupts_noted():
      raise_if_interrupted()
      drop()
      raise_if_interrupted()
  raise_if_interrupted()
  assert capsys.readouterr().err == '' and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_one_is_raised_where_it_comes():
  with interrupts_noted():
    for _ in range(2):
      with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_an_error_after_one_becomes_a_keyboard_interrupt():
  with pytest.raises(KeyboardInterrupt) as raised:
    with interrupts_noted():
      in_finalizer()
      raise SystemError('returned a result with an exception set')
  assert isinstance(raised.value.__cause__, SystemError)
  with pytest.raises(SystemError):
    with interrupts_noted():
      raise SystemError


def test_what_else_finalizers_raise_is_printed(monkeypatch):
  printed = []
  monkeypatch.setattr(sys, 'unraisablehook', lambda dropped: printed.append(dropped.exc_type))
  hook = sys.unraisablehook
  with interrupts_noted():
    in_finalizer()
    type('Failing', (), {'__del__': lambda self: 1 / 0})()
  assert printed == [ZeroDivisionError] and sys.unraisablehook is hook


@pytest.mark.parametrize('handler', (signal.SIG_IGN, lambda *_: None), ids=['ignored', "somebody's"])
def test_another_handler_is_left_alone(handler):
  signal.signal(signal.SIGINT, handler)
  try:
    with interrupts_noted():
      assert signal.getsignal(signal.SIGINT) is handler
      ctrl_c()
      raise_if_interrupted()
    assert signal.getsignal(signal.SIGINT) is handler
  finally:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_set_no_handler():
  handlers = []

  def run():
    with interrupts_noted():
      handlers.append(signal.getsignal(signal.SIGINT))

  thread = threading.Thread(target=run)
  thread.start()
  thread.join()
  assert handlers == [signal.default_int_handler]


def test_imports_set_no_handler():
  code = ('import signal\nhandlers = [signal.getsignal(s) for s in signal.valid_signals()]\n'
          'import search.executors, evonorm_tf.interrupts\n'
          'print(handlers == [signal.getsignal(s) for s in signal.valid_signals()])')
  assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == 'True\n'
