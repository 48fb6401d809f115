"""Ctrl-C: one that Python drops, or that becomes another error, is honoured all the same; handlers are left as found."""

import signal
import subprocess
import sys
import threading
import weakref

import pytest

from search.evaluation import Outcome
from search.interrupts import interrupts_noted
from search.interrupts import raise_if_interrupted
from search.journal import Journal
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import read
from tests.search.fake_search import search
from tests.search.fake_search import untimed


pytestmark = pytest.mark.usefixtures('ctrl_c_raises')


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
          'import search.executors, search.interrupts\n'
          'print(handlers == [signal.getsignal(s) for s in signal.valid_signals()])')
  assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == 'True\n'


def interrupt_evaluation(monkeypatch, number, interrupt):
  """Lets `interrupt` come in an evaluation, which then ends as a failure."""
  count, evaluate = [], FakeEvaluation.evaluate

  def evaluate_interrupted(self, spec):
    count.append(spec)
    if len(count) != number:
      return evaluate(self, spec)
    interrupt()
    return Outcome('failed', 'SystemError: returned a result with an exception set')

  monkeypatch.setattr(FakeEvaluation, 'evaluate', evaluate_interrupted)


@DROPS
@pytest.mark.parametrize('number', (1, 5, 16))
def test_a_search_ends_before_it_records_what_was_interrupted(bare, whole, tmp_path, monkeypatch, drop, number):
  with monkeypatch.context() as patch:
    interrupt_evaluation(patch, number, drop)
    with pytest.raises(KeyboardInterrupt):
      search(tmp_path)
  assert read(tmp_path) == untimed(whole[1])[:number - 1]
  assert untimed(search(tmp_path)) == untimed(whole[1])


def test_a_search_begins_nothing_after_one_between_two_evaluations(bare, tmp_path, monkeypatch):
  append = Journal.append

  def append_and_drop(self, record):
    append(self, record)
    if len(self.records) == 7:
      in_finalizer()
      monkeypatch.setattr(FakeEvaluation, 'evaluate', None)

  monkeypatch.setattr(Journal, 'append', append_and_drop)
  with pytest.raises(KeyboardInterrupt):
    search(tmp_path)
  assert len(read(tmp_path)) == 7
