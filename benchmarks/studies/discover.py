"""Does a search discover anything? Searches with gin/search/discover.gin from random graphs, and what they end with.

  python -m benchmarks.studies.discover --data_dir=DIR [--output=results/discover] [--seeds=0,1,2]

Each search is that of the gin file, with its references and its re-ranking; this takes place on the whole of CIFAR-10,
and reports the accuracy on its 10,000 test images. Then tanh, which a search ends with whose proxy is not faithful, is
trained as the re-ranking trains layers, once for all searches. Searches run one after the other, on an otherwise idle
machine; each is resumed where it stopped, and its journal is kept compressed.

Written after each search: table.csv, a row for each re-ranked layer of each search, and discover.png.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from collections.abc import Sequence
import csv
import pathlib

from absl import app
from absl import flags

from benchmarks.measuring.search_runs import search_argument
from benchmarks.measuring.search_runs import SearchStudy
from benchmarks.studies import discoveries
from search.execution.executors import WorkerProcesses
from search.journal.record import Record

_OUTPUT = flags.DEFINE_string('output', 'results/discover', 'Folder of the journals, the table and the figure.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'TFDS folder with the whole of CIFAR-10.', required=True)
_SEEDS = flags.DEFINE_list('seeds', ['0', '1', '2'], 'Of the searches.')
_GIN_FILE = flags.DEFINE_string('gin_file', 'gin/search/discover.gin', 'The search.')


def write(study: SearchStudy, seeds: Sequence[str], tanh: Sequence[Record]) -> None:
  """Writes the table and the figure of the searches that have ended.

  Args:
    study: the study.
    seeds: the searches' seeds.
    tanh: the trainings of tanh, which stand among the re-ranked layers of each search.
  """
  ended = {seed: [*records, *tanh] for seed in seeds if (records := study.records('discover', seed))}
  with (study.folder / 'table.csv').open('w') as file:
    writer = csv.DictWriter(file, discoveries.FIELDS, lineterminator='\n')
    writer.writeheader()
    for seed, records in ended.items():
      writer.writerows(discoveries.rows(seed, records))
  discoveries.draw(ended, study.folder / 'discover.png')


def main(_):
  """Runs the study and writes its results; the argument, the command line without flags, is not used."""
  bindings = (f"reranking/proxy_task.ProxyTask.data_dir = '{_DATA_DIR.value}'",
              'reranking/proxy_task.ProxyTask.validation_images = 5000')
  study = SearchStudy(pathlib.Path(_OUTPUT.value), _GIN_FILE.value, {'discover': ()}, bindings)
  reranking = search_argument('reranking', _GIN_FILE.value, bindings)
  for seed in _SEEDS.value:
    study.run('discover', seed)
    tanh = discoveries.train_tanh(reranking, study.folder / 'tanh.jsonl', WorkerProcesses(2))
    write(study, _SEEDS.value, tanh)


if __name__ == '__main__':
  app.run(main)
