"""The training of merged pairs, which asks whether layers that the equivalence cache takes for one do train alike.

Each layer of a pair is trained with two seeds, of weights and batches, in a small ResNet, for 200 steps. If the two are
one layer, the difference between one with the first seed and the other with the second is distributed as the difference
between the two seeds of one layer. A two-sample Kolmogorov-Smirnov test compares the two distributions.
"""

from collections.abc import Sequence
import dataclasses
import hashlib
import json
import os
import pathlib
import statistics

import numpy as np
from rich import box
from rich.table import Table
from scipy import stats

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.output.model_dir import complete_lines
from evonorm_tf.output.model_dir import cut_torn_line
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import QualityTest
from search.execution.executors import Executor
from search.execution.executors import WorkerDied
from search.journal.identity import cache_key
from search.journal.outcomes import ACCEPTED

SEEDS = 0, 1
SMALL_RESNET = Evaluation(
    ProxyTask((Architecture('resnet', {'depth': 26, 'width_multiplier': 0.5}),), steps=200, learning_rate=.1,
              batch_size=64, crop_size=16, image_size=16, evaluation_batch_size=500, validation_images=1000),
    QualityTest(steps=100, min_accuracy=.2), groups=4)


@dataclasses.dataclass(frozen=True)
class TrainedLayer:
  """A layer of a pair, trained with one seed.

  Attributes:
    pair: the number of the pair.
    member: 0 for the pair's first layer, 1 for the second.
    seed: the seed.
    outcome: 'accepted', 'rejected: quality' or 'failed'.
    accuracy: the validation accuracy at the end of the training, in [0, 1]; None unless the layer was accepted.
    layer: a checksum of the layer graph and of the evaluation.
  """
  pair: int
  member: int
  seed: int
  outcome: str
  accuracy: float | None
  layer: str


def train_pairs(pairs: Sequence[tuple[LayerGraph, LayerGraph]], path: str | os.PathLike, executor: Executor,
                evaluation: Evaluation = SMALL_RESNET) -> list[TrainedLayer]:
  """Trains both layers of each pair with two seeds.

  Args:
    pairs: the pairs.
    path: the file of results, JSON lines. Each training is appended as it ends, and those in it are not repeated; those
      of other pairs do not count.
    executor: runs the trainings; the caller closes it.
    evaluation: the evaluation whose seed is changed (default: `SMALL_RESNET`).

  Returns:
    The trainings of these pairs.

  Raises:
    ArgumentError: if the file holds anything else.
    ModelDirError: if its last line is torn, and none of a training.
    OSError: if it cannot be written; before any training.
    WorkerDied: if a process dies; the trainings that have ended are in the file.
  """
  path = pathlib.Path(path)
  layers = {(p, m): _checksum(graph, evaluation) for p, pair in enumerate(pairs) for m, graph in enumerate(pair)}
  try:
    trained = [TrainedLayer(**json.loads(line)) for line in complete_lines(path).splitlines()]
  except (TypeError, ValueError) as e:
    raise ArgumentError(f'{path}: expected the trainings of an earlier audit, with the checksums of their layers: {e}.'
                        ) from e
  cut_torn_line(path, b'{"pair": ')
  path.open('a').close()  # it can be written
  trained = [t for t in trained if layers.get((t.pair, t.member)) == t.layer]
  done = {(t.pair, t.member, t.seed) for t in trained}
  waiting = [(p, m, s) for p in range(len(pairs)) for s in SEEDS for m in range(2) if (p, m, s) not in done]
  running = 0
  while waiting or running:
    while waiting and executor.free:
      pair, member, seed = waiting.pop(0)
      executor.submit((pair, member, seed), evaluation.with_seed(seed).evaluate, pairs[pair][member])
      running += 1
    key, outcome = executor.next_result()
    running -= 1
    if isinstance(outcome, WorkerDied):
      raise outcome
    accuracy = statistics.fmean(outcome.scores.values()) if outcome.outcome == ACCEPTED else None
    trained.append(TrainedLayer(*key, outcome.outcome, accuracy, layers[key[:2]]))
    with path.open('a') as file:
      file.write(json.dumps(dataclasses.asdict(trained[-1])) + '\n')
  return trained


def _checksum(graph: LayerGraph, evaluation: Evaluation) -> str:
  return hashlib.sha256(json.dumps([graph.to_dict(), cache_key(evaluation)]).encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True)
class Comparison:
  """What the training of merged pairs says.

  Attributes:
    pairs: the number of pairs of which all four trainings are there.
    trained: the number of those whose four trainings were accepted.
    seeds_disagree: the number of layers, two in each pair, whose two seeds have different outcomes.
    members_disagree: the number of pairs of one layer with a seed and the other with the other seed, two in each pair,
      that have different outcomes.
    between_seeds: the differences in accuracy between the two seeds of a layer, two for each pair that was trained.
    between_members: those between one layer with the first seed and the other with the second, as many.
    p_value: of the Kolmogorov-Smirnov test that the magnitudes of both have one distribution; NaN without differences.
  """
  pairs: int
  trained: int
  seeds_disagree: int
  members_disagree: int
  between_seeds: list[float]
  between_members: list[float]
  p_value: float


def compare(trained: Sequence[TrainedLayer]) -> Comparison:
  """Compares the differences within pairs with those between seeds.

  Args:
    trained: the result of `train_pairs`.
  """
  by_key = {(t.pair, t.member, t.seed): t for t in trained}
  quadruples = [[by_key.get((pair, m, s)) for m in range(2) for s in SEEDS] for pair in {t.pair for t in trained}]
  complete = [q for q in quadruples if all(q)]
  seeds, members = ((0, 1), (2, 3)), ((0, 3), (2, 1))
  disagreeing = [sum(q[i].outcome != q[j].outcome for q in complete for i, j in which) for which in (seeds, members)]
  accepted = [[t.accuracy for t in q] for q in complete if all(t.outcome == ACCEPTED for t in q)]
  between_seeds, between_members = ([a[i] - a[j] for a in accepted for i, j in which] for which in (seeds, members))
  p_value = float(stats.ks_2samp(np.abs(between_seeds), np.abs(between_members)).pvalue) if accepted else float('nan')
  return Comparison(len(complete), len(accepted), *disagreeing, between_seeds, between_members, p_value)


def comparison_table(comparison: Comparison) -> Table:
  """Returns the figures of a comparison as a table for the terminal.

  Args:
    comparison: the result of `compare`.
  """
  table = Table(title='Training of merged pairs', title_style='bold', box=box.HORIZONTALS)
  for column in ('', 'between two seeds of a layer', 'between the two layers of a pair'):
    table.add_column(column, justify='left' if not column else 'right')
  both = comparison.between_seeds, comparison.between_members
  table.add_row('different outcomes', *(f'{n} of {2 * comparison.pairs}'
                                        for n in (comparison.seeds_disagree, comparison.members_disagree)))
  table.add_row('pairs trained to the end', *[str(comparison.trained)] * 2)
  if comparison.trained:
    for name, statistic in (('root mean square of the difference', lambda d: float(np.sqrt(np.mean(np.square(d))))),
                            ('median of its magnitude', lambda d: float(np.median(np.abs(d)))),
                            ('largest', lambda d: float(np.max(np.abs(d))))):
      table.add_row(name, *(f'{statistic(d):.4f}' for d in both))
    table.add_row('p of one distribution (Kolmogorov-Smirnov)', '', f'{comparison.p_value:.2f}')
  return table
