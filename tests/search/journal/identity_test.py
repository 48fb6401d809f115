"""What identifies a search: JSON data that changes with every argument."""

import dataclasses
import json

from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import QualityTest
from search.evaluation.rejection import StabilityTest
from search.graphs.random_graph import sample_space
from search.graphs.random_graph import SearchSpace
from search.journal.identity import completed
from search.journal.identity import identity_of
from search.selection.proposal import RandomSearch
from search.selection.proposal import TournamentEvolution
from search.selection.tournament import average_winner
from search.selection.tournament import pareto_winner

TASK = ProxyTask((Architecture('resnet', {'depth': 8}), Architecture('mobilenet_v2')))


def test_json_data_survives_the_journal():
  identity = identity_of(evaluation=Evaluation(TASK, QualityTest(), StabilityTest()), space=SearchSpace(), window=3,
                         strategy=TournamentEvolution(2), references=('bn_relu',), seed=None)
  assert json.loads(json.dumps(identity)) == identity
  assert identity['window'] == 3 and identity['references'] == ['bn_relu'] and identity['seed'] is None
  task = identity['evaluation']['task']
  assert task['architectures'][0] == {'class': 'Architecture', 'family': 'resnet', 'options': {'depth': 8}}
  assert identity['strategy'] == {
      'class': 'TournamentEvolution', 'initial_candidates': 2, 'fraction': .05, 'winner': 'pareto_winner',
      'mutations': 2, 'random_offspring': .5}


def test_every_field_of_the_task_counts():
  changed = {'architectures': TASK.architectures[:1], 'strategy': 'mirrored', 'data_dir': '/data',
             'training_seed': 1}
  for field in dataclasses.fields(ProxyTask):
    value = getattr(TASK, field.name)
    other = changed.get(field.name, not value if isinstance(value, bool) else None)
    other = value + 1 if other is None else other
    assert identity_of(task=dataclasses.replace(TASK, **{field.name: other})) != identity_of(task=TASK), field.name


def test_classes_and_functions_count():
  strategies = [RandomSearch(), TournamentEvolution(2), TournamentEvolution(2, winner=average_winner)]
  identities = [json.dumps(identity_of(strategy=s)) for s in strategies]
  assert len(set(identities)) == 3
  assert identity_of(f=pareto_winner) == {'f': 'pareto_winner'}
  assert identity_of(c=QualityTest) == {'c': 'QualityTest'}


def test_identities_of_earlier_journals_are_completed_with_what_was_done_then():
  now = identity_of(evaluation=Evaluation(TASK), space=SearchSpace(uniform_over='pairs'), equivalents='redraw',
                    strategy=TournamentEvolution(2, mutations=1, random_offspring=0.), same_layer='exact')
  then = json.loads(json.dumps(now))
  del then['same_layer'], then['space']['uniform_over'], then['strategy']['mutations']
  del then['strategy']['random_offspring'], then['evaluation']['measures_cost']
  del then['evaluation']['jit_compile']
  assert completed(then) == now == completed(now) and 'same_layer' not in then
  other = identity_of(strategy=TournamentEvolution(2), equivalents='redraw', same_layer='affine')
  assert completed(other) == other
  assert completed({'seed': 1, 'strategy': None}) == {'seed': 1, 'strategy': None}


def test_equal_arguments_are_identical():
  assert identity_of(space=sample_space()) == identity_of(space=sample_space()) != identity_of(space=SearchSpace())
  assert identity_of(references=['a']) == identity_of(references=('a',))


def test_infinity_is_strict_json():
  identities = [json.dumps(identity_of(test=StabilityTest(max_gradient_norm=norm)), allow_nan=False)
                for norm in (1e8, float('inf'), float('nan'))]
  assert len(set(identities)) == 3 and '"max_gradient_norm": "inf"' in identities[1]


def test_cached_properties_do_not_count():
  space = SearchSpace()
  before = identity_of(space=space)
  assert space.operations and identity_of(space=space) == before
