"""Is a found layer better than known ones, or only at the re-ranking's learning rate? Long training at three rates.

  python -m benchmarks.studies.learning_rates --data_dir=DIR [--layers=found_1,found_2]
      [--output=results/discover_mended/rates.csv]

A re-ranking trains all layers at one rate, 0.03, which need not suit them alike. Here layers are trained as in the
study of fidelity (`benchmarks.fidelity.runs`), whose trainings of known layers stand beside them in the table: 2,000
steps with a cosine from 0.03, 0.1 and 0.3, in three networks, with one seed; and with a second seed at the rate that
was the best in each network, on which that choice does not depend. Accuracy is on 5,000 of CIFAR-10's training images.
Each training is appended to the output as it ends, and a later call goes on from there: 20 minutes a layer on two
cores.
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
from benchmarks.measuring.command_line import define_names
from benchmarks.measuring.search_runs import note_configuration
from benchmarks.measuring.search_runs import search_argument
from evonorm_tf import norm_act_names
from search.evaluation.evaluation import Evaluation
from search.execution.executors import WorkerDied
from search.execution.executors import WorkerProcesses

_DATA_DIR = flags.DEFINE_string('data_dir', None, 'TFDS folder with the whole of CIFAR-10.', required=True)
_LAYERS = define_names('layers', ['found_1', 'found_2'], norm_act_names(), 'Layers to train.')
_OUTPUT = flags.DEFINE_string('output', 'results/discover_mended/rates.csv', 'The trainings, appended to.')

KNOWN = 'evonorm_b0', 'evonorm_b1', 'evonorm_b2', 'bn_relu', 'evonorm_s0', 'tanh(x)', 'gn_relu'
_TRAININGS, _GIN_FILE = pathlib.Path('results/proxy_fidelity/trainings.csv'), 'gin/search/three_networks.gin'


def trainings(layer: str, networks: list[str]) -> dict[float, list[Run]]:
  """Returns a layer's trainings by rate, one in each network.

  Args:
    layer: the layer's name.
    networks: the names of the networks.
  """
  return {rate: [Run(network, layer, rate, True, runs_lib.LONG_SEEDS[0], runs_lib.LONG_STEPS) for network in networks]
          for rate in runs_lib.LONG_RATES}


def table(own: Results, known: Results, layers: list[str], networks: list[str]) -> Table:
  """Returns the mean accuracy of each layer over networks, at each rate and at the best for each, with both seeds.

  Args:
    own: the trainings of this study.
    known: those of the study of fidelity.
    layers: the layers of this study.
    networks: the names of the networks.
  """
  shown = Table(title='Validation accuracy after 2,000 steps, mean of three networks, %')
  rates = [f'rate {rate}' for rate in runs_lib.LONG_RATES]
  for column in ('layer', *rates, 'best of each network', 'the same, second seed'):
    shown.add_column(column, justify='left' if column == 'layer' else 'right')
  for layer, source in [*((layer, own) for layer in layers), *((layer, known) for layer in KNOWN)]:
    accuracies = [[source.accuracy(run) for run in some] for some in trainings(layer, networks).values()]
    best = [statistics.fmean(source.accuracy(run) for run in runs) for runs in zip(*best_runs(source, layer, networks))]
    shown.add_row(layer, *(f'{100 * value:.1f}' for value in [*map(statistics.fmean, accuracies), *best]))
  return shown


def best_runs(results: Results, layer: str, networks: list[str]) -> list[list[Run]]:
  """Returns a layer's trainings at the best rate of each network, those with the first and with the second seed.

  Args:
    results: the trainings, with the first seed at each rate.
    layer: the layer's name.
    networks: the names of the networks.
  """
  return [results.best_long(layer, network) or [] for network in networks]


def train(own: Results, runs: list[Run], evaluation: Evaluation) -> None:
  """Carries out the trainings that are missing.

  Args:
    own: the trainings of this study.
    runs: the trainings to have.
    evaluation: the evaluation of the gin file.
  """
  missing = [run for run in runs if not own.is_done(run)]
  tasks = [(run, runs_lib.train, (evaluation, run, run.layer, _DATA_DIR.value)) for run in missing]
  for number, (run, points) in enumerate(worker_tasks.results(WorkerProcesses(2), tasks), 1):
    if isinstance(points, WorkerDied):
      raise points
    own.add(run, points)
    print(f'{number} of {len(missing)}: {run.layer}, {run.network}, rate {run.rate}: {points[-1][1]:.3f}', flush=True)


def main(_):
  """Runs the study and prints its table; the argument, the command line without flags, is not used."""
  if not _TRAININGS.exists():
    raise app.UsageError(f'{_TRAININGS} is needed for the known layers; start this in the root of the repository.')
  output = pathlib.Path(_OUTPUT.value)
  evaluation = search_argument('evaluation', _GIN_FILE)
  networks = runs_lib.long_networks(list(runs_lib.networks(evaluation.task)))
  own, known = Results(output), Results(_TRAININGS)
  known.close()
  note_configuration(output.parent, output.name, _GIN_FILE, has_results=bool(own.rows))
  layers = _LAYERS.value
  train(own, [run for layer in layers for some in trainings(layer, networks).values() for run in some], evaluation)
  train(own, [run for layer in layers for some in best_runs(own, layer, networks) for run in some], evaluation)
  Console(width=120).print(table(own, known, layers, networks))


if __name__ == '__main__':
  app.run(main)
