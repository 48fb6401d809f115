"""Is a found layer better than known ones, or only at the re-ranking's learning rate? Long training at three rates.

  python -m benchmarks.studies.learning_rates --data_dir=DIR [--layers=found_1,found_2]
      [--output=results/discover_mended/rates.csv]

A re-ranking trains all layers at one rate, 0.03, which need not suit them alike. Here layers are trained as in the
study of fidelity (`benchmarks.fidelity.runs`), whose trainings of known layers stand beside them in the table: 2,000
steps with a cosine from 0.03, 0.1 and 0.3, in three networks, with one seed; accuracy on 5,000 of CIFAR-10's training
images. Each training is appended to the output as it ends, and a later call goes on from there: 15 minutes a layer on
two cores.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import pathlib
import statistics

from absl import app
from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks.fidelity import runs as runs_lib
from benchmarks.fidelity.runs import Results
from benchmarks.fidelity.runs import Run
from benchmarks.measuring import worker_tasks
from benchmarks.measuring.search_runs import search_argument
from search.execution.executors import WorkerDied
from search.execution.executors import WorkerProcesses

_DATA_DIR = flags.DEFINE_string('data_dir', None, 'TFDS folder with the whole of CIFAR-10.', required=True)
_LAYERS = flags.DEFINE_list('layers', ['found_1', 'found_2'], 'Names of `get_norm_act`.')
_OUTPUT = flags.DEFINE_string('output', 'results/discover_mended/rates.csv', 'The trainings, appended to.')

KNOWN, _TRAININGS = ('evonorm_b0', 'bn_relu', 'evonorm_s0'), 'results/proxy_fidelity/trainings.csv'


def trainings(layer: str, networks: list[str]) -> dict[float, list[Run]]:
  """Returns a layer's trainings by rate, one in each network.

  Args:
    layer: the layer's name.
    networks: the names of the networks.
  """
  return {rate: [Run(network, layer, rate, True, runs_lib.LONG_SEEDS[0], runs_lib.LONG_STEPS) for network in networks]
          for rate in runs_lib.LONG_RATES}


def table(own: Results, known: Results, layers: list[str], networks: list[str]) -> Table:
  """Returns the mean accuracy of each layer over networks, at each rate and at the best one for each network.

  Args:
    own: the trainings of this study.
    known: those of the study of fidelity.
    layers: the layers of this study.
    networks: the names of the networks.
  """
  shown = Table(title='Validation accuracy after 2,000 steps, mean of three networks, %')
  for column in ('layer', *(f'rate {rate}' for rate in runs_lib.LONG_RATES), 'best rate of each network'):
    shown.add_column(column, justify='left' if column == 'layer' else 'right')
  for layer, source in [*((layer, own) for layer in layers), *((layer, known) for layer in KNOWN)]:
    accuracies = [[source.accuracy(run) for run in some] for some in trainings(layer, networks).values()]
    best = statistics.fmean(map(max, zip(*accuracies)))
    shown.add_row(layer, *(f'{100 * value:.1f}' for value in [*map(statistics.fmean, accuracies), best]))
  return shown


def main(_):
  """Runs the study and prints its table; the argument, the command line without flags, is not used."""
  evaluation = search_argument('evaluation', 'gin/search/three_networks.gin')
  networks = runs_lib.long_networks(list(runs_lib.networks(evaluation.task)))
  own = Results(pathlib.Path(_OUTPUT.value))
  missing = [run for layer in _LAYERS.value for some in trainings(layer, networks).values() for run in some
             if not own.is_done(run)]
  tasks = [(run, runs_lib.train, (evaluation, run, run.layer, _DATA_DIR.value)) for run in missing]
  for number, (run, points) in enumerate(worker_tasks.results(WorkerProcesses(2), tasks), 1):
    if isinstance(points, WorkerDied):
      raise points
    own.add(run, points)
    print(f'{number} of {len(missing)}: {run.layer}, {run.network}, rate {run.rate}: {points[-1][1]:.3f}', flush=True)
  Console(width=120).print(table(own, Results(pathlib.Path(_TRAININGS)), _LAYERS.value, networks))


if __name__ == '__main__':
  app.run(main)
