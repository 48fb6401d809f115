"""Three ways of making offspring in small searches: how many layers each accepts, and how good the best is.

  python -m benchmarks.exploration --output=results/exploration [--minutes=10] [--seeds=0,1,2]

The evolution of gin/search/three_networks.gin runs for the same time with each of the settings below and each seed,
without references and re-ranking, one run after the other on an otherwise idle machine: 90 minutes on two cores. (The
results that come with the project are of a former proxy: rate 0.1, 200 steps, and ResNet-26 as one of the networks.)
The table has the number of candidates evaluated and of those accepted, of which none is the same layer up to γ and β as
another by the independent route of `search.equivalence.affine_comparison`, and the best mean validation accuracy.

Each run has a folder in --output and is resumed where it stopped; runs that have ended are not repeated. The journals
are kept compressed.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import csv
import itertools
import pathlib
import statistics

from absl import app
from absl import flags
from rich.console import Console
from rich.table import Table

from benchmarks.measuring.command_line import define_seeds
from benchmarks.measuring.search_runs import SearchStudy
from benchmarks.measuring.search_runs import timed
from search.equivalence.affine_comparison import earlier_twins
from search.journal import records as records_lib
from search.journal.record import Record

_OUTPUT = flags.DEFINE_string('output', 'results/exploration', 'Folder of the journals and the table.')
_MINUTES = flags.DEFINE_float('minutes', 10., 'Of each search.')
_SEEDS = define_seeds()

SETTINGS = {  # mutations of a winner, probability that a random graph takes the offspring's place
    'one mutation': (1, 0.), 'two mutations, 20% random': (2, .2), "two mutations, 50% random (the paper's)": (2, .5)}
FIELDS = 'setting', 'seed', 'evaluated', 'accepted', 'different', 'twins', 'best', 'core_seconds'


def make_study() -> SearchStudy:
  """Returns the study that the flags describe."""
  bindings = {name: (f'proposal.TournamentEvolution.mutations = {mutations}',
                     f'proposal.TournamentEvolution.random_offspring = {share}')
              for name, (mutations, share) in SETTINGS.items()}
  return SearchStudy(pathlib.Path(_OUTPUT.value), 'gin/search/three_networks.gin', bindings, timed(_MINUTES.value))


def figures(setting: str, seed: str, records: list[Record]) -> dict[str, object]:
  """Returns the figures of one search that has ended, by the names in `FIELDS`."""
  evaluated = records_lib.evaluated(records)
  accepted = records_lib.accepted(evaluated)
  different = earlier_twins([r.graph for r in accepted]).count(None)
  twins = len(evaluated) - earlier_twins([r.graph for r in evaluated]).count(None)
  best = records_lib.best(records)
  values = (setting, seed, len(evaluated), len(accepted), different, twins,
            f'{best.mean_score:.4f}' if best else '', f'{sum(r.total_seconds for r in evaluated):.0f}')
  return dict(zip(FIELDS, values, strict=True))


def table(rows: list[dict[str, object]]) -> Table:
  """Returns the table: a row for each setting, with a figure for each seed and the mean."""
  shown = Table(title=f'Searches of {_MINUTES.value:g} minutes, one figure for each seed')
  shown.add_column('setting')
  for field in FIELDS[2:]:
    shown.add_column(field.replace('_', ' '), justify='right')
  for setting in SETTINGS:
    some = [r for r in rows if r['setting'] == setting]
    cells = []
    for field in FIELDS[2:]:
      values = [float(r[field]) for r in some if r[field] != '']
      each = ' '.join(str(r[field]) for r in some)
      cells.append(f'{each}\nmean {statistics.fmean(values):.4g}' if values else '–')
    shown.add_row(setting, *cells)
  return shown


def main(_):
  """Runs the study and prints its table; the argument, the command line without flags, is not used."""
  study, rows = make_study(), []
  for seed, setting in itertools.product(_SEEDS.value, SETTINGS):
    study.run(setting, seed)
    rows.append(figures(setting, seed, study.records(setting, seed)))
    with open(study.folder / 'table.csv', 'w') as file:
      writer = csv.DictWriter(file, FIELDS, lineterminator='\n')
      writer.writeheader()
      writer.writerows(rows)
  Console(width=140).print(table(rows))


if __name__ == '__main__':
  app.run(main)
