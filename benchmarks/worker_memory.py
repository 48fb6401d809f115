"""The memory of a worker over many candidates: its resident size, and the networks that it keeps.

  python -m benchmarks.worker_memory [--candidates=500] [--gin_file=gin/search/quickstart.gin] [--every=25]

One process evaluates the candidates of a random search one after the other, as each of a search's workers does, up to
the quality test of all architectures: the rest of an evaluation builds nothing that stays. It prints the resident size
as candidates pass, and at the end the largest one and that of the second half, which should be flat: 20 minutes on one
core.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import dataclasses
import time

from absl import app
from absl import flags
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.measuring.one_core import read_evaluation
from benchmarks.measuring.one_core import typical_graphs
from evonorm_tf.devices.memory import resident_bytes
from search.evaluation import reused_training

_GIN_FILE = flags.DEFINE_string('gin_file', 'gin/search/quickstart.gin', 'The search whose evaluation is used.')
_CANDIDATES = flags.DEFINE_integer('candidates', 500, 'The number of candidates.', lower_bound=4)
_EVERY = flags.DEFINE_integer('every', 25, 'Candidates from one row of the table to the next.', lower_bound=1)
MEGABYTE = 1e6


def main(_):
  """Runs the benchmark and prints its tables; the argument, the command line without flags, is not used."""
  full = read_evaluation(_GIN_FILE.value)
  evaluation = dataclasses.replace(full, stability=None, task=dataclasses.replace(full.task, steps=full.quality.steps))
  evaluation.check()
  table = Table(title='Resident size of a worker')
  for column in ('candidates', 'resident MB', 'networks kept', 'of MB', 'minutes'):
    table.add_column(column, justify='right')
  sizes, start = [], time.perf_counter()
  for number, graph in enumerate(typical_graphs(_CANDIDATES.value), 1):
    evaluation.evaluate(graph)
    sizes.append(resident_bytes() / MEGABYTE)
    if number % _EVERY.value == 0:
      kept = [network.bytes / MEGABYTE for network in reused_training.idle_networks()]
      cells = (str(number), f'{sizes[-1]:,.0f}', str(len(kept)), f'{sum(kept):,.0f}',
               f'{(time.perf_counter() - start) / 60:.1f}')
      print(*cells, flush=True)
      table.add_row(*cells)
  console, half = Console(width=120), len(sizes) // 2
  console.print(table)
  slope = np.polyfit(np.arange(len(sizes) - half), sizes[half:], 1)[0]
  console.print(f'largest {max(sizes):,.0f} MB; in the second half from {min(sizes[half:]):,.0f} to '
                f'{max(sizes[half:]):,.0f} MB, {100 * slope:+,.1f} MB in 100 candidates')


if __name__ == '__main__':
  app.run(main)
