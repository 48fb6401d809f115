"""Fidelity of proxy tasks: how well short trainings put layers into the order of long ones, and what they cost.

  python -m benchmarks.proxy_fidelity --data_dir=DIR [--output=results/proxy_fidelity] [--minutes=60] [--layers=30]

A search finds no better layers than its proxy task lets it see. 30 layers from poor to good (`fidelity.layers`) are
trained long, ten times the quickstart's steps on the whole of CIFAR-10 in its three networks, at the best of three
learning rates, with two seeds: the truth. They are also trained short, in ways that differ in learning rate, schedule,
number of steps, depth and networks (`fidelity.runs`): the proxies. For each proxy the tables and the figure in --output
have Kendall's τ to the truth over all layers and over the better half, with bootstrap intervals of 90% over layers;
the share of the true best quarter that it puts into its best quarter; its cost; its noise over seeds; and what a search
of 75 minutes can hope for (`fidelity.scores`).

The study may take five hours on two cores, ten core-hours: when trainings have taken these, or --minutes of this call
are over, no further one begins. Layers are trained one after the other, and count when all of their trainings have
ended. Each training is appended to trainings.csv as it ends, and a later call goes on from there; with --minutes=0 it
only writes tables and figure.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
import time

from absl import app
from absl import flags
from rich.console import Console

from benchmarks.fidelity import layers as layers_lib
from benchmarks.fidelity import report
from benchmarks.fidelity import runs as runs_lib
from benchmarks.fidelity.runs import Results
from benchmarks.fidelity.runs import Run
from benchmarks.measuring.search_runs import search_argument
from evonorm_tf.graph.layer_graph import LayerGraph
from search.evaluation.evaluation import Evaluation
from search.execution.executors import WorkerDied
from search.execution.executors import WorkerProcesses

_OUTPUT = flags.DEFINE_string('output', 'results/proxy_fidelity', 'Folder of trainings, tables and figure.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'TFDS folder with the whole of CIFAR-10.')
_MINUTES = flags.DEFINE_float('minutes', 60., 'The time after which no training begins.', lower_bound=0.)
_LAYERS = flags.DEFINE_integer('layers', 30, 'The number of layers, from the first in the list.', lower_bound=1)
_WORKERS = flags.DEFINE_integer('workers', 2, 'Trainings at a time.', lower_bound=1)

BUDGET_CORE_SECONDS = 10 * 3600
_TRIES = 3  # of a training whose process dies, before it counts as one that diverges
_TRAININGS_PER_PROCESS = 40


def run_study(specs: Mapping[str, LayerGraph | str], evaluation: Evaluation, results: Results, names: Sequence[str],
              data_dir: str, end: float) -> None:
  """Carries out the trainings that are missing, until the budget or the time is used up.

  Args:
    specs: the layers by name, in the order of training.
    evaluation: the quickstart's evaluation.
    results: the trainings so far, to which those of this call are added.
    names: the networks' names.
    data_dir: the TFDS folder with CIFAR-10.
    end: the time, as of `time.monotonic`, after which no training begins.
  """
  executor = WorkerProcesses(_WORKERS.value, _TRAININGS_PER_PROCESS)
  running: dict[Run, int] = {}  # -> tries

  def next_run() -> Run | None:
    if results.core_seconds >= BUDGET_CORE_SECONDS or time.monotonic() >= end:
      return None
    return next(runs_lib.pending(list(specs), names, results, running), None)

  def submit(run: Run) -> None:
    running[run] = running.get(run, 0) + 1
    executor.submit(run, runs_lib.train, evaluation, run, specs[run.layer], data_dir)

  try:
    while True:
      while executor.free and (run := next_run()):
        submit(run)
      if not running:
        return
      run, points = executor.next_result()
      if isinstance(points, WorkerDied):
        if running[run] < _TRIES:
          submit(run)
          continue
        points = [(steps, runs_lib.CHANCE, 0.) for steps in run.measured]
      del running[run]
      results.add(run, points)
      print(f'{results.core_seconds / 3600:.2f} of {BUDGET_CORE_SECONDS / 3600:.0f} core-hours: {run} '
            + ', '.join(f'{accuracy:.3f} after {steps}' for steps, accuracy, _ in points), flush=True)
  finally:
    executor.close()


def main(_):
  """Runs the study and writes its tables; the argument, the command line without flags, is not used."""
  end, output = time.monotonic() + 60 * _MINUTES.value, pathlib.Path(_OUTPUT.value)
  if _MINUTES.value and not _DATA_DIR.value:
    raise app.UsageError('--data_dir, the TFDS folder with the whole of CIFAR-10, is needed for trainings.')
  evaluation = search_argument('evaluation', 'gin/search/three_networks.gin')
  names = list(runs_lib.networks(evaluation.task))
  specs = dict(list(layers_lib.load().items())[:_LAYERS.value])
  results = Results(output / 'trainings.csv')
  if _MINUTES.value:
    run_study(specs, evaluation, results, names, _DATA_DIR.value, end)
  complete = [layer for layer in specs if runs_lib.is_complete(layer, names, results)]
  graphs = [layer for layer in complete if isinstance(specs[layer], LayerGraph)]
  print(f'{len(complete)} of {len(specs)} layers are complete.')
  if len(complete) >= 4 and graphs:
    Console(width=170).print(report.write(complete, graphs, names, results, output))


if __name__ == '__main__':
  app.run(main)
