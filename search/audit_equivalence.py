"""Audits the equivalence cache: python -m search.audit_equivalence [--graphs=100000] [--trained_pairs=60]

The equivalence cache of a search recognizes layer graphs that are one layer, as --same_layer says. The audit draws
random layer graphs, lets the cache merge those of one layer, and compares the two graphs of each merged pair on new
random inputs, by a route of its own. With 100,000 graphs this takes 4 to 10 minutes on one core.

With --trained_pairs, it then trains that many merged pairs whose functions differ, each layer with two seeds, in a
small ResNet, and tests whether the differences within pairs are distributed as those between seeds. Trainings
are appended to the file --results, and a later call goes on from there. 60 pairs take 10 to 60 minutes on two cores.

With --model_dir, it counts instead, by the same route, the candidates of a search that are an earlier one up to factor
and term, and their share of the time.

The exit code is 1 if the graphs of a pair differ, or if the probability p of the test is below 0.01; otherwise 0.
"""

from collections.abc import Sequence
import contextlib
import os
import sys

from absl import app
from absl import flags
from rich.console import Console
from rich.progress import track
from rich.text import Text

from evonorm_tf.cli import users_modules
from evonorm_tf.cli.console import run_command
from evonorm_tf.cli.user_errors import errors_as_messages
from evonorm_tf.errors import wrap_system_errors
from search.equivalence.affine_comparison import earlier_twins
from search.equivalence.collision_audit import audit_table
from search.equivalence.collision_audit import run_audit
from search.equivalence.equivalents import AFFINE
from search.equivalence.equivalents import SAME_LAYER
from search.equivalence.merged_pairs import merged_pairs
from search.execution.executors import WorkerProcesses
from search.graphs.equation import equation_text
from search.graphs.random_graph import SearchSpace
from search.journal import records as records_lib
from search.journal.record import Record
from search.journal.saved_search import load_search

_GRAPHS = flags.DEFINE_integer('graphs', 100_000, 'Number of graphs that are compared; 0 for none.', lower_bound=0)
_NODES = flags.DEFINE_integer('nodes', 10, 'Intermediate nodes of a graph.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the graphs and the inputs.', lower_bound=0)
_FILTERED = flags.DEFINE_bool('filtered', True, 'Whether only graphs that pass the static filter count.')
_SAME_LAYER = flags.DEFINE_enum('same_layer', AFFINE, SAME_LAYER, 'What counts as one layer in the audit of graphs.')
_PAIRS = flags.DEFINE_integer('trained_pairs', 0, 'Number of merged pairs that are trained.', lower_bound=0)
_RESULTS = flags.DEFINE_string('results', 'trained_pairs.jsonl', 'File of the trainings, appended to.')
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Folder of a search whose twins are counted, instead of the audit.')
_WORKERS = flags.DEFINE_integer('workers', 2, 'Trainings at a time.', lower_bound=1)
flags.adopt_module_key_flags(users_modules)
flags.register_multi_flags_validator(
    [_SAME_LAYER, _PAIRS, _MODEL_DIR],
    lambda values: values['same_layer'] == AFFINE or not (values['trained_pairs'] or values['model_dir']),
    '--same_layer is for the audit of graphs: trained pairs and twins in a search are of affine')
LEAST_P = .01


def main(argv: Sequence[str]) -> None:
  """Runs the command. After flag parsing, `argv` must hold the program's name only; otherwise UsageError is raised."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  with errors_as_messages(), wrap_system_errors():
    is_sound = _audit(Console())
  if not is_sound:
    sys.exit(1)


def _audit(console: Console) -> bool:
  """Carries out what the flags ask for, and prints it; returns whether no fault was found."""
  is_sound = True
  if _MODEL_DIR.value:
    users_modules.import_users_modules()
    console.print(Text(_twins_text(load_search(_MODEL_DIR.value).records)))
    return True
  if _GRAPHS.value:
    audit = run_audit(_GRAPHS.value, SearchSpace(_NODES.value), _SEED.value, _FILTERED.value,
                      lambda graphs: track(graphs, 'graphs', console=console, transient=True), _SAME_LAYER.value)
    console.print(audit_table(audit))
    for pair in audit.false_merges:
      console.print(Text('\n'.join(map(equation_text, pair))))
    is_sound = not audit.false_merges
  if _PAIRS.value:
    is_sound = _train_pairs(console) and is_sound
  return is_sound


def _twins_text(records: Sequence[Record]) -> str:
  """Returns how many of a search's evaluated candidates are an earlier one, and how many accepted scores are equal."""
  evaluated = records_lib.evaluated(records)
  twins = [r for r, twin in zip(evaluated, earlier_twins([r.graph for r in evaluated])) if twin is not None]
  seconds, of_twins = (sum(r.total_seconds for r in some) for some in (evaluated, twins))
  accepted = records_lib.accepted(evaluated)
  equal = len(accepted) - len({tuple(r.scores.values()) for r in accepted})
  share = lambda part, whole: f'{part / whole:.1%}' if whole else '–'
  return (f'{len(twins)} of {len(evaluated)} candidates evaluated are an earlier one up to factor and term '
          f'({share(len(twins), len(evaluated))}, {share(of_twins, seconds)} of the time of evaluations); '
          f'{equal} of {len(accepted)} accepted ones have the scores of an earlier one.')


def _train_pairs(console: Console) -> bool:
  """Trains merged pairs and prints what they say; returns whether they train as one layer does with two seeds."""
  from search.evaluation import twin_training  # here, so that the audit of graphs alone loads no TensorFlow
  pairs = merged_pairs(_PAIRS.value, _SEED.value)
  with contextlib.closing(WorkerProcesses(_WORKERS.value)) as executor:
    trained = twin_training.train_pairs(pairs, _RESULTS.value, executor)
  comparison = twin_training.compare(trained)
  console.print(twin_training.comparison_table(comparison))
  return not comparison.p_value < LEAST_P  # NaN, where no pair was trained to the end, says nothing


if __name__ == '__main__':
  run_command(main)
