"""Ctrl-C: a search hears the first one, a second one is raised at once, none is lost; handlers are left as found."""

import json
import signal
import subprocess
import sys
import threading
import weakref

import pytest

from evonorm_tf import termination
from search.evaluation.evaluation import Outcome
from search.execution.deferred_interrupts import interrupted_at_once
from search.execution.deferred_interrupts import interrupts_noted
from search.execution.deferred_interrupts import raise_if_interrupted
from search.journal.journal import Journal
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import read
from tests.search.fake_search import search
from tests.search.fake_search import untimed

pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')


def ctrl_c(*_):
  signal.raise_signal(signal.SIGINT)


def in_finalizer():
  type('Dropping', (), {'__del__': ctrl_c})()


def in_weakref_callback():
  thing = type('Thing', (), {})()
  reference = weakref.ref(thing, ctrl_c)
  del thing
  assert reference() is None


def second_in_finalizer():
  """The second one is raised, and there dropped."""
  ctrl_c()
  in_finalizer()


INTERRUPTS = pytest.mark.parametrize('interrupt', (in_finalizer, in_weakref_callback, second_in_finalizer))


@INTERRUPTS
def test_it_is_raised_at_the_next_look(interrupt):
  with pytest.raises(KeyboardInterrupt):
    with interrupts_noted():
      raise_if_interrupted()
      interrupt()
      with pytest.raises(KeyboardInterrupt):
        raise_if_interrupted()
      raise_if_interrupted()
  raise_if_interrupted()
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
  with interrupts_noted():
    raise_if_interrupted()


def test_the_second_is_raised_where_it_comes():
  with interrupts_noted():
    ctrl_c()
    for _ in range(2):
      with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_at_once():
  with interrupts_noted():
    with interrupted_at_once():
      pass
    ctrl_c()
    with pytest.raises(KeyboardInterrupt):
      with interrupted_at_once():
        pytest.fail('this is not reached')
  with interrupts_noted():
    with interrupted_at_once():
      with pytest.raises(KeyboardInterrupt):
        ctrl_c()
    with pytest.raises(KeyboardInterrupt):
      raise_if_interrupted()


def test_an_error_after_one_becomes_a_keyboard_interrupt():
  with pytest.raises(KeyboardInterrupt) as raised:
    with interrupts_noted():
      ctrl_c()
      raise SystemError('returned a result with an exception set')
  assert isinstance(raised.value.__cause__, SystemError)
  with pytest.raises(SystemError):
    with interrupts_noted():
      raise SystemError


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


@pytest.mark.parametrize('sigint', (signal.SIG_IGN, signal.default_int_handler), ids=['ignored', 'usual'])
def test_sigterm_counts_where_it_raises_as_ctrl_c_does(sigint):
  signal.signal(signal.SIGINT, sigint)
  handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
  try:
    with pytest.raises(KeyboardInterrupt):
      with interrupts_noted():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
          signal.raise_signal(signal.SIGTERM)
        raise_if_interrupted()
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is sigint
  finally:
    signal.signal(signal.SIGTERM, handler)
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
          'import search.execution.executors, search.execution.deferred_interrupts\n'
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


@pytest.mark.parametrize('interrupt, number', [
    (in_finalizer, 1), (in_finalizer, 5), (in_finalizer, 16), (in_weakref_callback, 5), (second_in_finalizer, 5)])
def test_a_search_ends_before_it_records_what_was_interrupted(bare, whole, tmp_path, monkeypatch, interrupt, number):
  with monkeypatch.context() as patch:
    interrupt_evaluation(patch, number, interrupt)
    with pytest.raises(KeyboardInterrupt):
      search(tmp_path)
  assert read(tmp_path) == untimed(whole[1])[:number - 1]
  assert untimed(search(tmp_path)) == untimed(whole[1])


def test_a_forced_end_is_not_laid_to_a_candidates_charge(bare, tmp_path, monkeypatch):
  """The journal notes that the search has left the candidate, which has not crashed it."""
  last_lines = []

  def end():
    termination.do_last_actions()
    last_lines.extend((tmp_path / 'journal.jsonl').read_text().splitlines()[-2:])
    raise KeyboardInterrupt

  interrupt_evaluation(monkeypatch, 5, end)
  with pytest.raises(KeyboardInterrupt):
    search(tmp_path)
  assert [json.loads(line) for line in last_lines] == [{'begun': 'evolution 2'}, {'left': 'evolution 2'}]


def test_a_search_begins_nothing_after_one_between_two_evaluations(bare, tmp_path, monkeypatch):
  append = Journal.append

  def append_and_interrupt(self, record):
    append(self, record)
    if len(self.records) == 7:
      ctrl_c()
      monkeypatch.setattr(FakeEvaluation, 'evaluate', None)

  monkeypatch.setattr(Journal, 'append', append_and_interrupt)
  with pytest.raises(KeyboardInterrupt):
    search(tmp_path)
  assert len(read(tmp_path)) == 7
