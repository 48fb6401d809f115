"""The time that successive halving saves, and its effect on the ranking of candidates.

  python -m benchmarks.successive_halving --curves=runs/curves.jsonl [--candidates=40] [--minutes=15] [--seed=0]

Successive halving stops the training of candidates that fall behind at a rung, which is a number of training steps; see
`search.evaluation.successive_halving`. This benchmark trains layers to the end and measures their accuracy at the rungs
on the way. The layers are mutants of known layers that pass the static filter and the quality test of every
architecture; the task is the quickstart's with more steps. Each curve, a layer's accuracies at the rungs and at the
end, is appended to a file, so that a later run with the same settings, which studies.json beside it has, continues from
there. Halving is then simulated on the curves:
candidates arrive in a random order, and each is compared with those before it.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import dataclasses
import json
import pathlib
import statistics
import time

from absl import app
from absl import flags
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.measuring.one_core import read_evaluation
from benchmarks.measuring.search_runs import note_configuration
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.model_dir import complete_lines
from evonorm_tf.output.model_dir import cut_torn_line
from search.evaluation.evaluation import Evaluation
from search.evaluation.successive_halving import SuccessiveHalving
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.mutation import mutate
from search.graphs.random_graph import SearchSpace
from search.graphs.static_filter import static_rejection
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import EVOLUTION
from search.journal.record import Record

_CURVES = flags.DEFINE_string('curves', None, 'JSON lines of accuracies at the rungs, appended to.', required=True)
_GIN_FILE = flags.DEFINE_string('gin_file', 'gin/search/quickstart.gin', 'The search whose task is trained.')
_SEED = flags.DEFINE_integer('seed', 0, 'The seed of the mutants.')
_STEPS = flags.DEFINE_integer('steps', 400, 'Training steps of the whole evaluation.')
_RUNGS = flags.DEFINE_multi_integer('rungs', [100, 200], 'Training steps of the rungs.')
_CANDIDATES = flags.DEFINE_integer('candidates', 40, 'The number of curves to have in the end.')
_MINUTES = flags.DEFINE_float('minutes', 15., 'The time after which no training begins.')

ORDERS = 200  # the number of random orders of arrival
TOP = 5  # the number of best candidates that halving should keep among its best


def draw(rng: np.random.Generator):
  """Draws a layer graph that passes the static filter: a known layer, mutated one to four times.

  Args:
    rng: the source of all randomness.
  """
  names = sorted(KNOWN_GRAPHS)
  while True:
    graph = known_graph(names[rng.integers(len(names))])
    for _ in range(rng.integers(1, 5)):
      graph = mutate(graph, SearchSpace(), rng)
    if not static_rejection(graph):
      return graph


def measure(evaluation: Evaluation, path: pathlib.Path) -> list[dict]:
  """Returns the curves in a file, and adds new ones until there are `--candidates` or `--minutes` have passed.

  Args:
    evaluation: the evaluation, which has rungs but does not stop at them.
    path: the file of JSON lines, which need not exist. Layers that were rejected are in it, too.

  Returns:
    The records of the accepted layers, JSON data.
  """
  cut_torn_line(path)
  records = [json.loads(line) for line in complete_lines(path).splitlines()]
  rungs = {tuple(rung['steps'] for rung in r['rungs']) for r in records if r['scores']} - {tuple(_RUNGS.value)}
  if rungs:
    raise SystemExit(f'{path} has curves with rungs at {rungs.pop()}, not at {tuple(_RUNGS.value)}. Give --curves '
                     'another file.')
  end = time.monotonic() + 60 * _MINUTES.value
  while sum(bool(r['scores']) for r in records) < _CANDIDATES.value and time.monotonic() < end:
    graph = draw(np.random.default_rng([_SEED.value, len(records)]))
    records.append({'stage': 'evolution', **dataclasses.asdict(evaluation.evaluate(graph)), 'graph': graph.to_dict()})
    with path.open('a') as file:
      file.write(json.dumps(records[-1]) + '\n')
  return [r for r in records if r['scores']]


def halve(records: list[dict], halving: SuccessiveHalving, total: int) -> tuple[list[float], int]:
  """Simulates successive halving on curves.

  Args:
    records: the curves, as `measure` returns them, in the order of arrival.
    halving: the settings of successive halving, with the rungs of the curves.
    total: the number of training steps of a curve.

  Returns:
    The mean score of each candidate, projected if its training is stopped, and the number of training steps of all
    candidates together, per architecture.
  """
  seen, steps = [], 0
  for record in records:
    bars, rungs, scores, taken = halving.bars(seen), [], record['scores'], total
    for bar, rung in zip(bars, record['rungs']):
      rungs.append({**rung, 'stopped': not bar.is_reached(rung['accuracies'])})
      if rungs[-1]['stopped']:
        scores, taken = bar.projected(rung['accuracies']), rung['steps']
        break
    seen.append(Record(stage=EVOLUTION, outcome=ACCEPTED, index=len(seen), graph=LayerGraph.from_dict(record['graph']),
                       rungs=rungs, scores=scores))
    steps += taken
  return [r.mean_score for r in seen], steps


def ranks(values) -> np.ndarray:
  """Returns the rank of each value, from 0 for the smallest; equal values share the mean of their ranks.

  Args:
    values: a sequence of numbers.
  """
  values = np.asarray(values)
  return np.array([(values < v).sum() + ((values == v).sum() - 1) / 2 for v in values])


def spearman(a, b) -> float:
  """Returns Spearman's rank correlation of two sequences of numbers, in [-1, 1].

  Args:
    a, b: the sequences, of equal length.
  """
  return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def compare(records: list[dict], halving: SuccessiveHalving, total: int) -> tuple[float, float, float, float]:
  """Compares successive halving with full training, over `ORDERS` random orders of arrival.

  Args:
    records: the curves, as `measure` returns them.
    halving: the settings of successive halving, with the rungs of the curves.
    total: the number of training steps of a curve.

  Returns:
    Means over the orders: the share of training steps saved; Spearman's ρ between true and simulated scores; the share
    of the true top `TOP` that is in the simulated top `TOP`; the share of orders in which the true best is in it.
  """
  rng, rows = np.random.default_rng(0), []
  for _ in range(ORDERS):
    order = [records[i] for i in rng.permutation(len(records))]
    truth = [statistics.fmean(r['scores'].values()) for r in order]
    found, steps = halve(order, halving, total)
    top = lambda values: set(np.argsort(values)[-TOP:])
    rows.append((1 - steps / (total * len(order)), spearman(truth, found), len(top(truth) & top(found)) / TOP,
                 np.argmax(truth) in top(found)))
  return tuple(np.mean(rows, 0))


def main(_):
  """Runs the benchmark and prints its table; the argument, the command line without flags, is not used."""
  path = pathlib.Path(_CURVES.value)
  full = read_evaluation(_GIN_FILE.value)
  evaluation = dataclasses.replace(full, stability=None, halving=SuccessiveHalving(tuple(_RUNGS.value)),
                                   task=dataclasses.replace(full.task, steps=_STEPS.value))
  note_configuration(path.parent, path.name, _GIN_FILE.value, (f'proxy_task.ProxyTask.steps = {_STEPS.value}',),
                     has_results=bool(complete_lines(path)), seed=_SEED.value)
  records = measure(evaluation, path)
  truth = [statistics.fmean(r['scores'].values()) for r in records]
  table = Table(title=f'{len(records)} candidates, {_STEPS.value} steps, means of {ORDERS} orders of arrival')
  for column in ('rungs', 'η', 'steps saved', "Spearman's ρ", f'of the top {TOP} kept', 'best kept'):
    table.add_column(column, justify='right')
  for i, rung in enumerate(_RUNGS.value):
    rho = spearman(truth, [statistics.fmean(r['rungs'][i]['accuracies'].values()) for r in records])
    table.add_row(f'all stop at {rung}', '', f'{1 - rung / _STEPS.value:.0%}', f'{rho:.2f}', '', '')
  for eta in (1.5, 2., 3., 4.):
    row = compare(records, SuccessiveHalving(tuple(_RUNGS.value), eta), _STEPS.value)
    table.add_row(str(_RUNGS.value), str(eta), f'{row[0]:.0%}', f'{row[1]:.2f}', f'{row[2]:.0%}', f'{row[3]:.0%}')
  Console(width=120).print(table)


if __name__ == '__main__':
  app.run(main)
