"""What identifies a search: JSON data that changes with every argument."""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import ModelDirError
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.rejection import QualityTest
from search.evaluation.rejection import StabilityTest
from search.graphs.live_mutation import mutate_live
from search.graphs.random_graph import sample_space
from search.graphs.random_graph import SearchSpace
from search.journal.identity import cache_key
from search.journal.identity import completed
from search.journal.identity import identity_of
from search.journal.journal import Journal
from search.selection.proposal import RandomSearch
from search.selection.proposal import TournamentEvolution
from search.selection.tournament import average_winner
from search.selection.tournament import pareto_winner

ROOT = pathlib.Path(__file__).parents[3]
TASK = ProxyTask((Architecture('resnet', {'depth': 8}), Architecture('mobilenet_v2')))


def test_json_data_survives_the_journal():
  identity = identity_of(evaluation=Evaluation(TASK, QualityTest(), StabilityTest()), space=SearchSpace(), window=3,
                         strategy=TournamentEvolution(2), references=('bn_relu',), seed=None)
  assert json.loads(json.dumps(identity)) == identity
  assert identity['window'] == 3 and identity['references'] == ['bn_relu'] and identity['seed'] is None
  task = identity['evaluation']['task']
  assert task['architectures'][0] == {
      'class': 'Architecture', 'family': 'resnet', 'options': {'depth': 8}, 'build': None}
  assert identity['strategy'] == {
      'class': 'TournamentEvolution', 'initial_candidates': 2, 'fraction': .05, 'winner': 'pareto_winner',
      'mutations': 2, 'random_offspring': .5, 'objective': None, 'mutation': 'mutate',
      'niche': None}


def test_every_field_of_the_task_counts():
  changed = {'architectures': TASK.architectures[:1], 'strategy': 'mirrored', 'data_dir': '/data',
             'training_seed': 1, 'data': 'mnist'}
  for field in dataclasses.fields(ProxyTask):
    value = getattr(TASK, field.name)
    other = changed.get(field.name, not value if isinstance(value, bool) else None)
    other = value + 1 if other is None else other
    assert identity_of(task=dataclasses.replace(TASK, **{field.name: other})) != identity_of(task=TASK), field.name


def test_classes_and_functions_count():
  strategies = [RandomSearch(), TournamentEvolution(2), TournamentEvolution(2, winner=average_winner),
                TournamentEvolution(2, mutation=mutate_live)]
  identities = [json.dumps(identity_of(strategy=s)) for s in strategies]
  assert len(set(identities)) == 4
  assert identity_of(f=pareto_winner) == {'f': 'pareto_winner'}
  assert identity_of(c=QualityTest) == {'c': 'QualityTest'}


def test_identities_of_earlier_journals_are_completed_with_what_was_done_then():
  now = identity_of(evaluation=Evaluation(TASK), space=SearchSpace(uniform_over='pairs'), equivalents='redraw',
                    strategy=TournamentEvolution(2, mutations=1, random_offspring=0.), same_layer='exact')
  then = json.loads(json.dumps(now))
  del then['same_layer'], then['space']['uniform_over'], then['strategy']['mutations']
  del then['strategy']['random_offspring'], then['strategy']['mutation'], then['strategy']['niche']
  del then['evaluation']['measures_cost']
  del then['evaluation']['jit_compile']
  assert completed(then) == now == completed(now) and 'same_layer' not in then
  other = identity_of(strategy=TournamentEvolution(2), equivalents='redraw', same_layer='affine')
  assert completed(other) == other
  assert completed({'seed': 1, 'strategy': None}) == {'seed': 1, 'strategy': None}


def test_a_data_folder_may_move_but_not_go():
  here, there, bundled = (identity_of(task=dataclasses.replace(TASK, data_dir=folder)) for folder in ('/a', '/b', None))
  assert here != there and completed(here) == completed(there) != completed(bundled)


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


@dataclasses.dataclass(frozen=True)
class OwnTest:
  limit: int = 1


def own_net(norm_act, num_classes, input_shape):
  """Never built here."""


def other_net(norm_act, num_classes, input_shape):
  """Never built here."""


def first_score(candidate):
  return candidate.scores[0]


def last_score(candidate):
  return candidate.scores[-1]


def own_images(grey):
  return {'train': (np.full([4, 8, 8, 3], grey), np.arange(4)), 'test': (np.zeros([2, 8, 8, 3]), np.arange(2))}


def own_parts(build=own_net, limit=1, objective=first_score, grey=.5):
  """The identity of a search with four parts of a user."""
  task = ProxyTask((Architecture(build=build),), data=own_images(grey), image_size=None, crop_size=None)
  return identity_of(evaluation=Evaluation(task, tests=(OwnTest(limit),)),
                     strategy=TournamentEvolution(2, objective=objective))


@pytest.mark.parametrize('changed, key', [
    ({'build': other_net}, 'evaluation.task.architectures.*other_net'), ({'limit': 2}, 'evaluation.tests'),
    ({'objective': last_score}, '`strategy.objective` is .*last_score'), ({'grey': .25}, 'evaluation.task.data')])
def test_a_search_with_other_parts_of_a_user_is_refused(changed, key, tmp_path, make_record):
  with Journal(tmp_path / 'journal.jsonl', own_parts()) as journal:
    journal.append(make_record(index=0, scores=(.5,)))
  Journal(tmp_path / 'journal.jsonl', own_parts()).close()
  with pytest.raises(ModelDirError, match=f'a search of another configuration: .*{key}'):
    Journal(tmp_path / 'journal.jsonl', own_parts(**changed))


class Own:
  def __init__(self, rate):
    self.rate = rate
    self.values = np.arange(3.)

  def method(self):
    """Does nothing."""


def test_objects_of_users_count_by_their_attributes():
  assert identity_of(a=Own(.1)) == identity_of(a=Own(.1)) != identity_of(a=Own(.2))
  assert identity_of(a=Own(.1))['a']['class'] == 'Own' and json.dumps(identity_of(a=Own(.1)))
  other = Own(.1)
  other.values[1] = 5.
  assert identity_of(a=other) != identity_of(a=Own(.1))
  assert identity_of(a=Own(.1).method) == identity_of(a=Own(.1).method) != identity_of(a=Own(.2).method)
  tensors = [identity_of(a=tf.constant(values)) for values in ([1., 2.], [1., 3.])]
  assert tensors[0] != tensors[1]
  with pytest.raises(ArgumentError, match='cannot identify a search'):
    identity_of(a=iter(()))


def test_functions_behind_wrappers_count_as_themselves():
  @functools.cache
  def load() -> dict[str, tuple]:
    return {}

  assert identity_of(f=load)['f'].startswith('test_functions_behind_wrappers_count_as_themselves.<locals>.load')


def test_the_key_of_a_cache_tells_edited_functions_apart():
  scope = {}
  keys = []
  for rate in (1, 2, 2):
    exec(f'def load():\n  return {rate}', scope)
    keys.append(cache_key(scope['load']))
    assert identity_of(f=scope['load']) == {'f': 'load'}
  assert keys[0] != keys[1] == keys[2]


def test_functions_without_a_name_count_by_their_code():
  double, triple = (lambda x: 2 * x), (lambda x: 3 * x)
  make = lambda factor: lambda x: factor * x
  total = lambda n: lambda: sum(i + 1 for i in range(n))
  other = lambda n: lambda: sum(i + 2 for i in range(n))
  member = lambda names: lambda x: x in names
  same = [[make(2.), make(2.)], [total(3), total(3)], [member({'a', 'b'}), member({'b', 'a'})]]
  different = [[double, triple], [make(2.), make(3.)], [total(3), other(3)], [member({'a'}), member({'b'})],
               [lambda x, y=1: x, lambda x, y=2: x]]
  assert all(identity_of(f=f) == identity_of(f=g) for f, g in same)
  assert all(identity_of(f=f) != identity_of(f=g) for f, g in different)
  assert identity_of(f=functools.partial(average_winner, rng=3)) != identity_of(f=functools.partial(average_winner))


def test_functions_with_sets_count_alike_in_all_processes():
  program = ("from search.journal.identity import identity_of; names = {'tanh', 'sigmoid', 'exp', ('a', 'b')}; "
             "print(identity_of(f=lambda x: x in {'tanh', 'sigmoid', 'exp', ('a', 'b')}, g=lambda x, y=names: x in y))")
  printed = {subprocess.run([sys.executable, '-c', program], env={**os.environ, 'PYTHONHASHSEED': str(seed)}, cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout for seed in range(4)}
  assert len(printed) == 1


def test_an_array_that_is_changed_later_is_another():
  images, labels = np.zeros((200, 32, 32, 3), np.float32), np.arange(200) % 2
  task = lambda: ProxyTask((Architecture('resnet'),), data={'train': (images, labels), 'test': (images, labels)})
  before = task()
  keys = [before.key]
  images[:] = 1.
  assert task().key != before.key == keys[0] and not before.data['train'][0].any()
  assert dataclasses.replace(before, seed=1).data['train'][0] is before.data['train'][0]  # not copied once more
