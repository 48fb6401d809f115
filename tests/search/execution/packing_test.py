"""Tasks as bytes: by name where there is one, by value for what a script or notebook defines."""

import os
import pathlib
import pickle
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from evonorm_tf.errors import ArgumentError
from search.execution import packing

ROOT = pathlib.Path(__file__).parents[3]


def test_a_function_of_a_module_goes_by_its_name():
  packed = packing.pack(textwrap.dedent, ('  a',))
  assert packing.unpack(packing.run_packed(packed)) == 'a' and b'textwrap' in packed and len(packed) < 300


def test_a_lambda_goes_by_value():
  three = 3
  packed = packing.pack(lambda x: x + three, (4,))
  with pytest.raises(Exception):
    pickle.dumps(lambda x: x)
  assert packing.unpack(packing.run_packed(packed)) == 7


def test_large_arrays_can_travel_apart():
  a, b = np.arange(1000.), np.arange(1000.)[::-1].copy()
  kept = []
  packed = packing.pack(np.dot, (a, b), large=lambda buffer: bool(kept.append(buffer.raw())))  # False: it is kept
  assert len(packed) < 1000 and len(kept) == 2
  assert packing.unpack(packing.run_packed(packed, *kept)) == a @ b
  whole = packing.pack(np.dot, (a, b), large=lambda buffer: True)
  assert len(whole) > 16000 and packing.unpack(packing.run_packed(whole)) == a @ b


class Holder:
  """An object with what no process can send."""

  def __init__(self):
    self.lock = threading.Lock()

  def evaluate(self):
    """Does nothing."""


def test_what_cannot_be_sent_is_named():
  with pytest.raises(ArgumentError, match='Holder cannot be sent to worker processes'):
    packing.pack(Holder().evaluate, ())


SCRIPT = """
import sys
from search.execution.executors import WorkerProcesses
print('runs', flush=True)
STARTED = 7

class Task:
  def evaluate(self, x):
    return Result(x + STARTED)

class Result:
  def __init__(self, value):
    self.value = value

  def __repr__(self):
    return f'<{self.value}>'

executor = WorkerProcesses(2)
executor.submit('a', Task().evaluate, 1)
executor.submit('b', lambda x: 10 * x, 2)
print(sorted(map(str, (executor.next_result() for _ in range(2)))))
executor.close()
"""


@pytest.mark.slow
def test_a_script_without_a_guard_is_not_run_again_by_its_workers(tmp_path):
  (tmp_path / 'script.py').write_text(SCRIPT)
  ran = subprocess.run([sys.executable, tmp_path / 'script.py'], capture_output=True, text=True, check=False,
                       timeout=120, env=os.environ | {'PYTHONPATH': str(ROOT)})
  assert ran.stdout == "runs\n[\"('a', <8>)\", \"('b', 20)\"]\n", ran.stderr
