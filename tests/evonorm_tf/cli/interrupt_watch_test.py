"""Ctrl-C and SIGTERM in processes of their own, whose main threads do not come back to Python for a minute."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from evonorm_tf.cli.interrupt_watch import InterruptWatch

SIGNALS = signal.SIGINT, signal.SIGTERM
ROOT = pathlib.Path(__file__).parents[3]
IN_C = "hashlib.pbkdf2_hmac('sha512', b'', b'', 10 ** 8)"
WATCH = """
import hashlib, signal, sys, time
from evonorm_tf import termination
from evonorm_tf.cli.interrupt_watch import InterruptWatch
{before}
with InterruptWatch('Ended.', first_raises={first_raises}, seconds={seconds}) as watch:
  try:
    print('entered', flush=True)
    {work}
  except KeyboardInterrupt:
    print('raised', flush=True)
    {after}
"""


def start(work, first_raises=False, after='', before='', seconds=60):
  """Starts the process and waits until it works."""
  code = WATCH.format(work=work, first_raises=first_raises, after=after, before=before, seconds=seconds)
  process = subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
  assert process.stdout.readline() == 'entered\n'
  time.sleep(.1)
  return process


def interrupt(process, number=signal.SIGINT):
  """Sends a Ctrl-C, or another signal; returns what the process still says on its two streams, and its exit code."""
  process.send_signal(number)
  with process:
    return *process.communicate(timeout=20), process.returncode


by_signal = pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@by_signal
@pytest.mark.parametrize('work', [IN_C, 'time.sleep(60)'])
def test_the_process_ends_at_once(work, number, code):
  assert interrupt(start(work), number) == ('', 'Ended.\n', code)


@by_signal
@pytest.mark.parametrize('after', [IN_C, 'time.sleep(60)'])
def test_where_the_first_one_raises_the_second_one_ends_the_process(after, number, code):
  process = start('time.sleep(60)', True, after)
  process.send_signal(number)
  assert process.stdout.readline() == 'raised\n'
  assert interrupt(process, number) == ('', 'Ended.\n', code)


@pytest.mark.parametrize('after', [IN_C, 'time.sleep(60)'])
def test_who_cleans_up_after_sigterm_has_so_many_seconds(after):
  process = start('time.sleep(60)', True, after, seconds=.5)
  assert interrupt(process, signal.SIGTERM) == ('raised\n', 'Ended.\n', 143)


def test_the_exit_code_of_who_has_cleaned_up():
  """Known when the context is left."""
  process = start('time.sleep(60)', True, 'pass\nprint(watch.exit_code)')
  assert interrupt(process, signal.SIGTERM) == ('raised\n143\n', '', 0)


HEEDING = """with termination.heeded():
      print(termination.requested(), flush=True)
      while not termination.requested(): time.sleep(.01)
      print('saved', flush=True)
      {}
    print(termination.requested())"""


def test_work_that_heeds_it_is_told_of_sigterm():
  process = start(HEEDING.format('pass'))
  assert process.stdout.readline() == 'False\n'
  assert interrupt(process, signal.SIGTERM) == ('saved\nFalse\n', '', 0)


@by_signal
def test_work_that_heeds_it_is_ended_by_a_second_signal(number, code):
  process = start(HEEDING.format(IN_C))
  process.send_signal(signal.SIGTERM)
  assert [process.stdout.readline() for _ in range(2)] == ['False\n', 'saved\n']
  assert interrupt(process, number) == ('', 'Ended.\n', code)


def test_work_that_heeds_it_has_so_many_seconds():
  process = start(HEEDING.format(IN_C), seconds=.5)
  assert process.stdout.readline() == 'False\n'
  assert interrupt(process, signal.SIGTERM) == ('saved\n', 'Ended.\n', 143)


def test_ctrl_c_ends_work_that_heeds_sigterm_at_once():
  process = start(HEEDING.format(IN_C))
  assert process.stdout.readline() == 'False\n'
  assert interrupt(process) == ('', 'Ended.\n', 130)


def test_sigterm_where_ctrl_c_is_ignored():
  """As in the background job of a script."""
  ignore = 'signal.signal(signal.SIGINT, signal.SIG_IGN)'
  process = start('time.sleep(60)', before=ignore)
  process.send_signal(signal.SIGINT)
  assert interrupt(process, signal.SIGTERM) == ('', 'Ended.\n', 143)
  assert interrupt(start('time.sleep(60)', True, before=ignore), signal.SIGTERM)[0] == 'raised\n'


@pytest.mark.parametrize('handler', ['signal.SIG_IGN', 'lambda *_: None'])
def test_a_handler_of_sigterm_that_is_there_stays(handler):
  process = start('time.sleep(.5); print("done")', before=f'signal.signal(signal.SIGTERM, {handler})')
  assert interrupt(process, signal.SIGTERM) == ('done\n', '', 0)


def test_one_that_is_ignored_stays_so():
  ignore = 'signal.signal(signal.SIGINT, signal.SIG_IGN)'
  assert interrupt(start('time.sleep(.5); print("done")', before=ignore)) == ('done\n', '', 0)


LAST = """with termination.before_end({}):
      {}"""


@by_signal
def test_what_is_done_before_the_end(number, code):
  process = start(LAST.format("lambda: print('last', flush=True)", IN_C))
  assert interrupt(process, number) == ('last\n', 'Ended.\n', code)


def test_what_is_done_before_the_end_cannot_prevent_it():
  assert interrupt(start(LAST.format('lambda: time.sleep(60)', 'time.sleep(60)'))) == ('', 'Ended.\n', 130)
  code = interrupt(start(LAST.format('lambda: 1 / 0', 'time.sleep(60)')))[2]
  assert code == 130


def test_other_signals_end_nothing():
  assert interrupt(start(
      'signal.raise_signal(signal.SIGUSR1); time.sleep(60)',
      before='signal.signal(signal.SIGUSR1, lambda *_: None)')) == ('', 'Ended.\n', 130)


@pytest.mark.parametrize('first_raises', [False, True])
def test_everything_is_as_before_when_it_is_left(first_raises):
  handlers, files = [*map(signal.getsignal, SIGNALS)], len(os.listdir('/proc/self/fd'))
  with InterruptWatch('', first_raises):
    assert len(os.listdir('/proc/self/fd')) == files + 2
  assert [*map(signal.getsignal, SIGNALS)] == handlers and len(os.listdir('/proc/self/fd')) == files
  assert signal.set_wakeup_fd(-1) == -1
