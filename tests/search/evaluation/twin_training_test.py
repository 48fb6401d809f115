"""The training of merged pairs: what is trained and kept, and a test that tells twins from others."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from search.evaluation.evaluation import Outcome
from search.evaluation.twin_training import compare
from search.evaluation.twin_training import comparison_table
from search.evaluation.twin_training import train_pairs
from search.evaluation.twin_training import TrainedLayer
from search.execution.executors import InProcess
from search.execution.executors import WorkerDied
from search.graphs.known_graphs import known_graph

PAIRS = [(known_graph('evonorm_s0'), known_graph('evonorm_s1')), (known_graph('bn_relu'), known_graph('gn_relu'))]


EVALUATED = []


@dataclasses.dataclass(frozen=True)
class FakeEvaluation:
  """Fails for BN-ReLU; otherwise an accuracy that follows from the seed."""
  seed: int = 0

  def with_seed(self, seed):
    return dataclasses.replace(self, seed=seed)

  def evaluate(self, graph):
    EVALUATED.append((graph, self.seed))
    return Outcome() if graph == PAIRS[1][0] else Outcome('accepted', scores={'resnet': .1 + self.seed})


def test_each_layer_is_trained_with_two_seeds_and_none_twice(tmp_path):
  path, evaluation = tmp_path / 'pairs.jsonl', FakeEvaluation()
  EVALUATED.clear()
  trained = train_pairs(PAIRS[:1], path, InProcess(), evaluation)
  assert sorted((t.member, t.seed, t.accuracy) for t in trained) == [(0, 0, .1), (0, 1, 1.1), (1, 0, .1), (1, 1, 1.1)]
  assert train_pairs(PAIRS, path, InProcess(), evaluation)[:4] == trained
  assert len(EVALUATED) == 8 == len(set(EVALUATED))
  assert train_pairs(PAIRS[:1], path, InProcess(), evaluation) == trained
  comparison = compare(train_pairs(PAIRS, path, InProcess(), evaluation))
  assert (comparison.pairs, comparison.trained) == (2, 1)
  assert (comparison.seeds_disagree, comparison.members_disagree) == (0, 2)
  assert comparison.between_seeds == comparison.between_members == [-1., -1.]


def test_a_file_that_holds_something_else_is_refused(tmp_path):
  path = tmp_path / 'pairs.jsonl'
  for text, message in (('{"pair": 1}\n', 'the trainings of an earlier audit'), ('{"a": 1}', 'lines that begin with')):
    path.write_text(text)
    with pytest.raises(ValueError, match=f'{path}: expected {message}'):
      train_pairs(PAIRS, path, InProcess(), FakeEvaluation())
    assert path.read_text() == text


def test_a_torn_line_is_trained_again(tmp_path):
  path, evaluation = tmp_path / 'pairs.jsonl', FakeEvaluation()
  trained = train_pairs(PAIRS[:1], path, InProcess(), evaluation)
  path.write_bytes(path.read_bytes()[:-9])
  EVALUATED.clear()
  assert train_pairs(PAIRS[:1], path, InProcess(), evaluation) == trained and len(EVALUATED) == 1


def test_a_file_that_cannot_be_written_is_known_before_any_training(tmp_path):
  EVALUATED.clear()
  with pytest.raises(FileNotFoundError):
    train_pairs(PAIRS[:1], tmp_path / 'nowhere' / 'pairs.jsonl', InProcess(), FakeEvaluation())
  assert not EVALUATED


def test_trainings_of_other_pairs_do_not_count(tmp_path):
  path, evaluation = tmp_path / 'pairs.jsonl', FakeEvaluation()
  train_pairs(PAIRS[:1], path, InProcess(), evaluation)
  EVALUATED.clear()
  assert [t.pair for t in train_pairs(PAIRS[1:], path, InProcess(), evaluation)] == [0] * 4 and len(EVALUATED) == 4
  assert len(train_pairs(PAIRS[:1], path, InProcess(), evaluation)) == 4 == len(EVALUATED)


def test_a_worker_that_dies_ends_the_training_of_pairs(tmp_path):
  class Dying(InProcess):
    """Whose task ends its process."""

    def next_result(self):
      return super().next_result()[0], WorkerDied()

  with pytest.raises(WorkerDied):
    train_pairs(PAIRS[:1], tmp_path / 'pairs.jsonl', Dying(), FakeEvaluation())


@pytest.mark.parametrize('shift, is_one', [(0., True), (.1, False)])
def test_the_test_tells_twins_from_others(shift, is_one):
  rng = np.random.default_rng(0)
  trained = [TrainedLayer(p, m, s, 'accepted', .5 + .02 * rng.normal() + shift * m, 'a layer')
             for p in range(60) for m in range(2) for s in range(2)]
  comparison = compare(trained)
  assert (comparison.p_value > .05) == is_one and len(comparison.between_seeds) == 120
  console = Console(file=io.StringIO(), width=120)
  console.print(comparison_table(comparison))
  assert f'{comparison.p_value:.2f}' in console.file.getvalue() and '0 of 120' in console.file.getvalue()
