"""Does evolution help? Searches with four ways of proposing and rejecting candidates, each with several seeds.

  python -m benchmarks.studies.evolution [--output=results/search] [--minutes=25] [--seeds=0,1,2] [--gin_file=FILE]

Tournaments won on the Pareto front, tournaments won on the average, random search, and Pareto without rejection (no
quality and no stability test), as in the paper's figure of the efficiency of searches. Searches have equal time, one
after the other on an otherwise idle machine, without references and re-ranking: with the defaults twelve of 25 minutes,
five hours on two cores. Each is resumed where it stopped, and its journal is kept compressed.

Written after each search: table.csv, a row for each search, and evolution.png, the mean score of the ten best so far
against candidates and against core-seconds, the mean over seeds with a band from the lowest to the highest, up to where
the shortest search of all ends.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import csv
import itertools
import pathlib

from absl import app
from absl import flags

from benchmarks.measuring.search_runs import SearchStudy
from benchmarks.measuring.search_runs import timed
from benchmarks.studies import search_curves

_OUTPUT = flags.DEFINE_string('output', 'results/search', 'Folder of the journals, the table and the figure.')
_MINUTES = flags.DEFINE_float('minutes', 25., 'Of each search.', lower_bound=0.)
_SEEDS = flags.DEFINE_list('seeds', ['0', '1', '2'], 'Of the searches.')
_GIN_FILE = flags.DEFINE_string('gin_file', 'gin/search/three_networks.gin', 'The search.')

SETTINGS = {
    'Pareto': (),
    'average': ('proposal.TournamentEvolution.winner = @tournament.average_winner',),
    'random': ('evolution.run_search.strategy = @proposal.RandomSearch()',),
    'Pareto without rejection': ('evaluation.Evaluation.quality = None', 'evaluation.Evaluation.stability = None'),
}


def main(_):
  """Runs the study and writes its results; the argument, the command line without flags, is not used."""
  study = SearchStudy(pathlib.Path(_OUTPUT.value), _GIN_FILE.value, SETTINGS, timed(_MINUTES.value))
  for seed, setting in itertools.product(_SEEDS.value, SETTINGS):
    study.run(setting, seed)
    ended = {(name, s): records for name in SETTINGS for s in _SEEDS.value if (records := study.records(name, s))}
    with (study.folder / 'table.csv').open('w') as file:
      writer = csv.DictWriter(file, search_curves.FIELDS, lineterminator='\n')
      writer.writeheader()
      writer.writerows(search_curves.rows(ended))
    by_setting = {name: [records for (n, _), records in ended.items() if n == name] for name in SETTINGS}
    search_curves.draw({name: seeds for name, seeds in by_setting.items() if seeds}, study.folder / 'evolution.png')


if __name__ == '__main__':
  app.run(main)
