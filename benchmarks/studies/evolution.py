"""Does evolution help? Searches with four ways of proposing and rejecting candidates, each with several seeds.

  python -m benchmarks.studies.evolution [--output=results/search] [--minutes=25] [--seeds=0,1,2] [--gin_file=FILE]

Tournaments won on the Pareto front, tournaments won on the average, random search, and Pareto without rejection (no
quality and no stability test), as in the paper's figure of the efficiency of searches. Searches have equal time, one
after the other on an otherwise idle machine, without references and re-ranking: with the defaults twelve of 25 minutes,
five hours on two cores. Each is resumed where it stopped, and its journal is kept compressed.

Written after each search: table.csv, a row for each search (`search_curves.rows`), and evolution.png, the mean score of
the ten best so far against candidates and against core-seconds, the mean over seeds with a band from the lowest to the
highest. A place among the ten that no candidate has taken counts as chance. Dashed lines are known layers that the
study of fidelity trained once on the same task.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import csv
import itertools
import pathlib

from absl import app
from absl import flags

from benchmarks.fidelity import runs as runs_lib
from benchmarks.measuring.command_line import define_seeds
from benchmarks.measuring.search_runs import search_argument
from benchmarks.measuring.search_runs import SearchStudy
from benchmarks.measuring.search_runs import timed
from benchmarks.studies import search_curves
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import REFERENCE
from search.journal.record import Record

_OUTPUT = flags.DEFINE_string('output', 'results/search', 'Folder of the journals, the table and the figure.')
_MINUTES = flags.DEFINE_float('minutes', 25., 'Of each search.', lower_bound=0.)
_SEEDS = define_seeds()
_GIN_FILE = flags.DEFINE_string('gin_file', 'gin/search/three_networks.gin', 'The search.')

SETTINGS = {
    'Pareto': (),
    'average': ('proposal.TournamentEvolution.winner = @tournament.average_winner',),
    search_curves.RANDOM: ('evolution.run_search.strategy = @proposal.RandomSearch()',),
    'Pareto without rejection': ('evaluation.Evaluation.quality = None', 'evaluation.Evaluation.stability = None'),
}
KNOWN = {'evonorm_b0': 'evonorm_b0', 'evonorm_s0': 'evonorm_s0', 'bn_relu': 'bn_relu', 'tanh(x)': 'tanh'}
_TRAININGS = pathlib.Path('results/proxy_fidelity/trainings.csv')


def references(path: pathlib.Path) -> list[Record]:
  """Returns known layers with their scores on the task of three_networks.gin: rate 0.05, 400 steps, one training.

  Args:
    path: the trainings of the study of fidelity.
  """
  with path.open() as file:
    trained = [row for row in csv.DictReader(file) if row['network'] != f'resnet {runs_lib.DEPTHS[1]}' and
               (row['rate'], row['cosine'], row['seed'], row['steps']) == ('0.05', 'False', '0', '400')]
  return [Record(stage=REFERENCE, name=name, outcome=ACCEPTED, scores={
      row['network']: float(row['accuracy']) for row in trained if row['layer'] == layer})
          for layer, name in KNOWN.items()]


def main(_):
  """Runs the study and writes its results; the argument, the command line without flags, is not used."""
  study = SearchStudy(pathlib.Path(_OUTPUT.value), _GIN_FILE.value, SETTINGS, timed(_MINUTES.value))
  initial = search_argument('strategy', _GIN_FILE.value).initial_candidates
  is_known_task = _GIN_FILE.value == _GIN_FILE.default and _TRAININGS.exists()
  known = references(_TRAININGS) if is_known_task else []
  for seed, setting in itertools.product(_SEEDS.value, SETTINGS):
    study.run(setting, seed)
    ended = {(name, s): records for name in SETTINGS for s in _SEEDS.value if (records := study.records(name, s))}
    with (study.folder / 'table.csv').open('w') as file:
      writer = csv.DictWriter(file, search_curves.FIELDS, lineterminator='\n')
      writer.writeheader()
      writer.writerows(search_curves.rows(ended))
    by_setting = {name: [records for (n, _), records in ended.items() if n == name] for name in SETTINGS}
    search_curves.draw({name: seeds for name, seeds in by_setting.items() if seeds}, study.folder / 'evolution.png',
                       known, initial)


if __name__ == '__main__':
  app.run(main)
