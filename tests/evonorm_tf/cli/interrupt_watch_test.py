"""Ctrl-C in processes of their own, whose main threads do not come back to Python for a minute."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from evonorm_tf.cli.interrupt_watch import InterruptWatch

ROOT = pathlib.Path(__file__).parents[3]
IN_C = "hashlib.pbkdf2_hmac('sha512', b'', b'', 10 ** 8)"
WATCH = """
import hashlib, signal, sys, time
from evonorm_tf.cli.interrupt_watch import InterruptWatch
{before}
with InterruptWatch('Ended.', first_raises={first_raises}):
  try:
    print('entered', flush=True)
    {work}
  except KeyboardInterrupt:
    print('raised', flush=True)
    {after}
"""


def start(work, first_raises=False, after='', before=''):
  """Starts the process and waits until it works."""
  code = WATCH.format(work=work, first_raises=first_raises, after=after, before=before)
  process = subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
  assert process.stdout.readline() == 'entered\n'
  time.sleep(.1)
  return process


def interrupt(process):
  """Sends a Ctrl-C; returns what the process still says on its two streams, and its exit code."""
  process.send_signal(signal.SIGINT)
  with process:
    return *process.communicate(timeout=20), process.returncode


@pytest.mark.parametrize('work', [IN_C, 'time.sleep(60)'])
def test_the_process_ends_at_once(work):
  assert interrupt(start(work)) == ('', 'Ended.\n', 130)


@pytest.mark.parametrize('after', [IN_C, 'time.sleep(60)'])
def test_where_the_first_one_raises_the_second_one_ends_the_process(after):
  process = start('time.sleep(60)', True, after)
  process.send_signal(signal.SIGINT)
  assert process.stdout.readline() == 'raised\n'
  assert interrupt(process) == ('', 'Ended.\n', 130)


def test_one_that_is_ignored_stays_so():
  ignore = 'signal.signal(signal.SIGINT, signal.SIG_IGN)'
  assert interrupt(start('time.sleep(.5); print("done")', before=ignore)) == ('done\n', '', 0)


def test_other_signals_end_nothing():
  assert interrupt(start(
      'signal.raise_signal(signal.SIGUSR1); time.sleep(60)',
      before='signal.signal(signal.SIGUSR1, lambda *_: None)')) == ('', 'Ended.\n', 130)


@pytest.mark.parametrize('first_raises', [False, True])
def test_everything_is_as_before_when_it_is_left(first_raises):
  handler, files = signal.getsignal(signal.SIGINT), len(os.listdir('/proc/self/fd'))
  with InterruptWatch('', first_raises):
    assert len(os.listdir('/proc/self/fd')) == files + 2
  assert signal.getsignal(signal.SIGINT) is handler and len(os.listdir('/proc/self/fd')) == files
  assert signal.set_wakeup_fd(-1) == -1
