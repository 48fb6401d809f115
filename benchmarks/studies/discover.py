"""Does a search discover anything? Searches with gin/search/discover.gin from random graphs, and what they end with.

  python -m benchmarks.studies.discover --data_dir=DIR [--output=results/discover] [--seeds=0,1,2]

Each search is that of the gin file, with its references and its re-ranking; this takes place on the whole of CIFAR-10,
with initial weights and batches that no other search has, and reports the accuracy on its 10,000 test images. tanh,
which a search ends with whose proxy is not faithful, is trained as that re-ranking trains layers. Searches run one
after the other, on an otherwise idle machine; each is resumed where it stopped, and its journal is kept compressed.

Written after each search: table.csv, a row for each re-ranked layer of each search, and discover.png; and printed
whether the best layer that the search found, by validation accuracy, is above tanh and the references.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import csv
import pathlib

from absl import app
from absl import flags
from rich.console import Console

from benchmarks.measuring.command_line import define_seeds
from benchmarks.measuring.search_runs import search_argument
from benchmarks.measuring.search_runs import SearchStudy
from benchmarks.studies import discoveries
from search.execution.executors import WorkerProcesses

_OUTPUT = flags.DEFINE_string('output', 'results/discover', 'Folder of the journals, the table and the figure.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'TFDS folder with the whole of CIFAR-10.', required=True)
_SEEDS = define_seeds()
_GIN_FILE = flags.DEFINE_string('gin_file', 'gin/search/discover.gin', 'The search.')


def write(searches: discoveries.Searches, folder: pathlib.Path) -> None:
  """Writes the table and the figure of the searches that have ended, and prints how they ended.

  Args:
    searches: the records by the search's seed.
    folder: the study's folder.
  """
  with (folder / 'table.csv').open('w') as file:
    writer = csv.DictWriter(file, discoveries.FIELDS, lineterminator='\n')
    writer.writeheader()
    for seed, records in searches.items():
      writer.writerows(discoveries.rows(seed, records))
  discoveries.draw(searches, folder / 'discover.png')
  Console(width=120).print(discoveries.verdicts(searches))


def main(_):
  """Runs the study and writes its results; the argument, the command line without flags, is not used."""
  data = (f"reranking/proxy_task.ProxyTask.data_dir = '{_DATA_DIR.value}'",
          'reranking/proxy_task.ProxyTask.validation_images = 5000')
  own = {seed: (*data, f'reranking/proxy_task.ProxyTask.seed = {10 * (int(seed) + 1)}') for seed in _SEEDS.value}
  study, searches = SearchStudy(pathlib.Path(_OUTPUT.value), _GIN_FILE.value, own), {}
  for seed in _SEEDS.value:
    study.run(seed, seed)
    searches[seed] = study.records(seed, seed)
    write(searches, study.folder)
    reranking = search_argument('reranking', _GIN_FILE.value, own[seed])
    searches[seed] += discoveries.train_tanh(reranking, study.folder / f'tanh_{seed}.jsonl', WorkerProcesses(2))
    write(searches, study.folder)


if __name__ == '__main__':
  app.run(main)
