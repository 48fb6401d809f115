"""Strategies by name, on the logical CPUs of conftest."""

import sys

import pytest
import tensorflow as tf

from evonorm_tf.devices import strategy as strategy_module
from evonorm_tf.devices.strategy import get_strategy
from evonorm_tf.devices.strategy import STRATEGIES

without_gpu = pytest.mark.skipif(bool(tf.config.list_logical_devices('GPU')), reason='describes hosts without GPU')


def test_one_device_is_the_default():
  for strategy in (get_strategy(), get_strategy('one_device')):
    assert isinstance(strategy, tf.distribute.OneDeviceStrategy) and strategy.num_replicas_in_sync == 1


@without_gpu
def test_one_device_is_the_cpu():
  with get_strategy().scope():
    assert 'CPU:0' in tf.Variable(1.).device


@without_gpu
def test_mirrored_takes_all_logical_cpus():
  strategy = get_strategy('mirrored')
  assert isinstance(strategy, tf.distribute.MirroredStrategy) and strategy.num_replicas_in_sync == 2

  @tf.function
  def gather():
    context = lambda: tf.distribute.get_replica_context().replica_id_in_sync_group
    return strategy.gather(strategy.run(lambda: tf.reshape(context(), [1])), axis=0)

  assert gather().numpy().tolist() == [0, 1]


def test_one_device_does_without_model_garden(monkeypatch):
  monkeypatch.setitem(sys.modules, 'official', None)
  assert strategy_module._make_strategy.__wrapped__('one_device', None).num_replicas_in_sync == 1


def test_the_rest_is_model_gardens(monkeypatch):
  from official.common import distribute_utils
  calls = []
  monkeypatch.setattr(
      distribute_utils, 'get_distribution_strategy', lambda name, **options: calls.append((name, options)) or 'made')
  gpus = len(tf.config.list_logical_devices('GPU'))
  make = strategy_module._make_strategy.__wrapped__  # the cache would keep what is made here
  monkeypatch.setenv('TF_CONFIG', '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}')
  assert make('tpu', 'local') == 'made' == make('multi_worker_mirrored', None)
  assert calls == [('tpu', {'num_gpus': gpus, 'tpu_address': 'local'}),
                   ('multi_worker_mirrored', {'num_gpus': gpus, 'tpu_address': None})]


@without_gpu
def test_two_mirrored_trainings_in_a_process_share_a_strategy():
  assert get_strategy('mirrored') is get_strategy('mirrored') is get_strategy(strategy='mirrored', tpu=None)


@pytest.mark.parametrize('arguments, message', [
    (('mirored',), "`strategy` must be one of .*'mirrored'.*, received 'mirored'"),
    (('mirrored', 'local'), "`tpu` is for strategy='tpu', received 'local' for 'mirrored'")])
def test_wrong_names(arguments, message):
  with pytest.raises(ValueError, match=message):
    get_strategy(*arguments)
  assert STRATEGIES == ('one_device', 'mirrored', 'multi_worker_mirrored', 'tpu')


@pytest.mark.parametrize('config', [
    '', '{"cluster": ', '[]', '{"cluster": {"worker": ["a:1"]}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}'])
def test_hosts_have_to_be_described(monkeypatch, config):
  monkeypatch.setenv('TF_CONFIG', config)
  with pytest.raises(ValueError, match='needs an environment variable TF_CONFIG such as .*"cluster"') as error:
    get_strategy('multi_worker_mirrored')
  assert repr(config) in str(error.value)
