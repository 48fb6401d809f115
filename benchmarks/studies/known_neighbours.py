"""Would a search keep known layers, had it drawn them? The search's verdict on their graphs and on their mutants.

  python -m benchmarks.studies.known_neighbours [--gin_file=gin/search/discover.gin] [--journals=FILE,...]
      [--output=results/discover/known_neighbours.csv] [--mutants=10]

If they score no higher than what a search found, its proxy is at fault; if they do, and their mutants are accepted and
score in between, its budget or its operators are: it might have climbed to them; and if the mutants are rejected, the
way to them is narrow. Each evaluation is appended to the output as it ends, and a later call with the same
configuration, which studies.json beside it has, goes on from there.
--journals names compressed journals of searches with the same proxy, with whose candidates the scores are compared.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import csv
import pathlib

from absl import app
from absl import flags
from rich.console import Console

from benchmarks.measuring import worker_tasks
from benchmarks.measuring.command_line import define_names
from benchmarks.measuring.search_runs import note_configuration
from benchmarks.measuring.search_runs import read_compressed
from benchmarks.measuring.search_runs import search_argument
from benchmarks.studies import neighbours
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.model_dir import complete_lines
from evonorm_tf.output.model_dir import cut_torn_line
from search.execution.executors import WorkerDied
from search.execution.executors import WorkerProcesses
from search.graphs.affine_equation import affine_equation_text
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.journal import records as records_lib
from search.journal.outcomes import FAILED
from search.selection.warm_start import initial_candidates

_GIN_FILE = flags.DEFINE_string('gin_file', 'gin/search/discover.gin', 'The search.')
_JOURNALS = flags.DEFINE_list('journals', [], 'Compressed journals of searches to compare with.')
_OUTPUT = flags.DEFINE_string('output', 'results/discover/known_neighbours.csv', 'The evaluations, appended to.')
_MUTANTS = flags.DEFINE_integer('mutants', 10, 'Mutants of each layer and number of mutations.', lower_bound=1)
_ORIGINS = define_names('origins', ['evonorm_b0', 'evonorm_s0'], KNOWN_GRAPHS, 'Known layers.')

MUTATIONS = 1, 2


def layers() -> dict[tuple[str, str, str], LayerGraph]:
  """Returns the graphs to evaluate, by origin, number of mutations and number."""
  evaluation, space = (search_argument(name, _GIN_FILE.value) for name in ('evaluation', 'space'))
  known = {c.origin: c.graph for c in initial_candidates('known', space, evaluation, 1, seed=0)}
  found = {}
  for origin in _ORIGINS.value:
    found[origin, '0', '0'] = known[origin]
    for mutations in MUTATIONS:
      for number, graph in enumerate(neighbours.mutants(known[origin], mutations, _MUTANTS.value, space, mutations)):
        found[origin, str(mutations), str(number)] = graph
  return found


def read(path: pathlib.Path) -> list[neighbours.Row]:
  """Returns the evaluations in a file, which is begun if there is none.

  Args:
    path: the file.
  """
  cut_torn_line(path)
  text = complete_lines(path)
  if not text:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(','.join(neighbours.FIELDS) + '\n')
  return list(csv.DictReader(text.splitlines()))


def main(_):
  """Runs the study and prints its table; the argument, the command line without flags, is not used."""
  evaluation, path = search_argument('evaluation', _GIN_FILE.value), pathlib.Path(_OUTPUT.value)
  specs = layers()
  note_configuration(path.parent, path.name, _GIN_FILE.value, has_results=complete_lines(path).count('\n') > 1)
  rows = read(path)
  waiting = [key for key in specs if key not in {(r['origin'], r['mutations'], r['number']) for r in rows}]
  tasks = [(key, evaluation.evaluate, (specs[key],)) for key in waiting]
  for key, outcome in worker_tasks.results(WorkerProcesses(2), tasks):
    died = isinstance(outcome, WorkerDied)
    score = '' if died or not outcome.scores else f'{sum(outcome.scores.values()) / len(outcome.scores):.4f}'
    values = (*key, FAILED if died else outcome.outcome, score, str(outcome) if died else outcome.detail,
              affine_equation_text(specs[key]))
    rows.append(dict(zip(neighbours.FIELDS, values, strict=True)))
    with path.open('a') as file:
      csv.DictWriter(file, neighbours.FIELDS, lineterminator='\n').writerow(rows[-1])
    print(*values[:5], flush=True)
  accepted = [r.mean_score for journal in _JOURNALS.value
              for r in records_lib.measured(read_compressed(pathlib.Path(journal)))]
  Console(width=140).print(neighbours.table(rows, accepted))


if __name__ == '__main__':
  app.run(main)
