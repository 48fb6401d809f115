"""What a worker process imports: the evaluation, and no computer algebra, which takes a third of a second to load."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
MODULES = ('search.evaluation.evaluation', 'search.execution.executors', 'search.execution.ray_executor')


@pytest.mark.slow
def test_workers_load_neither_sympy_nor_what_the_driver_needs():
  code = (f'import sys, {", ".join(MODULES)}\n'
          'print(sorted({"sympy", "igraph", "search.journal.records", "search.evolution"} & set(sys.modules)))')
  run = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
  assert run.stdout == '[]\n', run.stderr
