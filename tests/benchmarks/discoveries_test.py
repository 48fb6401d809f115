"""The study of discovery: rows against means and errors by hand, a figure that is drawn, and trainings beside."""

import io

import pytest
from rich.console import Console

from benchmarks.studies import discoveries
from search.evaluation.evaluation import Outcome
from search.execution.executors import InProcess
from search.execution.executors import WorkerDied
from search.graphs.known_graphs import known_graph
from search.journal.record import Record


def trainings(name, scores, test_scores, index=None, outcome='accepted'):
  """The re-ranking of a layer: one record for each seed."""
  return [Record(stage='reranking', name=name, index=index, graph=None if index is None else known_graph('evonorm_s1'),
                 outcome=outcome, scores={'resnet': score} if score else {}, test_scores={'resnet': test}, seed=seed)
          for seed, (score, test) in enumerate(zip(scores, test_scores))]


RECORDS = [
    Record(stage='reference', name='bn_relu', outcome='accepted', scores={'resnet': .3}),
    Record(stage='evolution', index=4, graph=known_graph('evonorm_s1'), outcome='accepted', scores={'resnet': .4},
           seconds={'total': 3.}),
    *trainings('candidate 4', (.5, .7, .6), (.4, .6, .5), index=4),
    *trainings('bn_relu', (.6, .6, .9), (.8, .8, .8)),
    *trainings('candidate 5', (0,), (0,), index=5, outcome='failed'),
    *trainings('tanh', (.2, .2, .2), (.1, .2, .3))]


def test_rows_are_ranked_by_validation_with_errors_over_trainings():
  bn_relu, found, tanh, failed = discoveries.rows('7', RECORDS)
  assert [r['layer'] for r in (bn_relu, found, tanh, failed)] == ['bn_relu', 'candidate 4', 'tanh', 'candidate 5']
  # The deviation of .5, .6 and .7 is .1, and that of .6, .6 and .9 is √.03.
  assert found == dict(seed='7', layer='candidate 4', proxy='0.4000', validation='0.6000',
                       validation_error=f'{.1 / 3**.5:.4f}', test='0.5000', test_error=f'{.1 / 3**.5:.4f}',
                       test_resnet='0.5000', test_mobilenet_v2='', test_efficientnet='', trainings=3,
                       equation=found['equation'])
  assert 'σ(x)' in found['equation'] and tanh['equation'] == ''
  assert bn_relu['validation_error'] == f'{.01**.5:.4f}' and bn_relu['test_error'] == '0.0000'
  assert failed['test'] == '' and failed['trainings'] == 0


def test_the_best_found_layer_is_compared_with_the_known_ones():
  table = discoveries.verdicts({'7': RECORDS, '8': RECORDS[:2]})
  console = Console(width=200, file=io.StringIO())
  console.print(table)
  cells = [[cell.strip() for cell in line.split('│')[3:-1]] for line in console.file.getvalue().splitlines()
           if ' 7 ' in line]
  # .4, .6, .5 to .8, .8, .8 and to .1, .2, .3: 30, 40 and 20 points, with a standard error of 10 / √3.
  assert cells == [['bn_relu', f'-30.0 ± {43.03 / 3**.5:.1f}', '0 of 3'],
                   ['tanh', f'+30.0 ± {43.03 / 3**.5:.1f}', '3 of 3']]


@pytest.mark.usefixtures('drawn_figures')
@pytest.mark.parametrize('seeds', ['0', '012'])
def test_figure(tmp_path, seeds):
  discoveries.draw({seed: RECORDS for seed in seeds}, tmp_path / 'figure.png')
  assert (tmp_path / 'figure.png').stat().st_size > 10_000


class Evaluation:
  """The evaluation of a re-ranking, whose scores tell the seed; the training with seed 1 dies at first."""

  def __init__(self, log, seed=0):
    self.log, self.seed = log, seed

  def with_seed(self, seed):
    return Evaluation(self.log, seed)

  def evaluate(self, graph):
    self.log.append(self.seed)
    if self.log.count(1) == 1 and self.seed == 1:
      return WorkerDied()
    assert graph == discoveries.TANH
    return Outcome('accepted', scores={'resnet': .1 * self.seed}, test_scores={'resnet': .2}, seconds={'total': 3.})


class Reranking:
  seeds = 3

  def __init__(self, log):
    self.evaluation = Evaluation(log)


def test_tanh_is_trained_with_each_seed_once(tmp_path):
  log, path = [], tmp_path / 'tanh.jsonl'
  with pytest.raises(WorkerDied):
    discoveries.train_tanh(Reranking(log), path, InProcess())
  with path.open('a') as file:
    file.write('{"stage": "rera')  # a kill
  records = discoveries.train_tanh(Reranking(log), path, InProcess())
  assert log == [0, 1, 1, 2]
  assert discoveries.train_tanh(Reranking(log), path, InProcess()) == records and log == [0, 1, 1, 2]
  assert [(r.name, r.seed, r.scores['resnet']) for r in records] == [('tanh', 0, 0.), ('tanh', 1, .1), ('tanh', 2, .2)]
