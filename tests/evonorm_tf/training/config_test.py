"""Epochs become steps; what a checkpoint depends on; which layers, and what XLA, can be asked for."""

import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.registry import norm_act_settings
from evonorm_tf.training import config as training_config
from evonorm_tf.training.optimization import Optimization
from search.graphs.known_graphs import known_graph


def trainer_config(epochs=3., **changes):
  schedule = training_config.Schedule(
      Optimization(.1), batch_size=16, epochs=epochs, epochs_between_evaluations=1., epochs_between_checkpoints=.5)
  arguments = dict(train_images=1000, steps_per_loop=7, checkpoints_to_keep=2, best_metric='mask/AP') | changes
  return schedule.trainer_config(**arguments)


def test_epochs_become_steps_and_the_last_evaluation_is_at_the_end():
  config = trainer_config()
  assert (config.train_steps, config.validation_interval, config.checkpoint_interval) == (188, 63, 31)
  assert 3 * config.validation_interval >= config.train_steps > 2 * config.validation_interval
  assert config.best_checkpoint_eval_metric == 'mask/AP' and config.steps_per_loop == config.summary_interval == 7
  assert trainer_config(epochs=.2).validation_interval == 12  # once, at the end


def test_loops_counted_in_steps_and_results_of_which_the_lowest_is_best():
  config = training_config.loop_config(100, 5, 20, 10, 3, 'fid', 'lower')
  assert (config.train_steps, config.validation_interval, config.checkpoint_interval) == (100, 20, 10)
  assert (config.best_checkpoint_eval_metric, config.best_checkpoint_metric_comp) == ('fid', 'lower')


def test_less_than_a_step_is_refused():
  with pytest.raises(ValueError, match='`epochs` must amount to one step of 16 images, received 0.001 of 1000 images'):
    trainer_config(epochs=.001)


def test_batches_are_shared_by_the_replicas_that_train():
  assert training_config.make_strategy('mirrored', None, 4, 'train').num_replicas_in_sync == 2
  assert training_config.make_strategy('mirrored', None, 3, 'export').num_replicas_in_sync == 1
  with pytest.raises(ValueError, match='`batch_size` must be a multiple of the 2 replicas, received 3'):
    training_config.make_strategy('mirrored', None, 3, 'eval')


def test_float16_alone_scales_the_loss():
  scales = {p: training_config.runtime_config('one_device', p).loss_scale for p in training_config.PRECISIONS}
  assert scales == {'float32': None, 'mixed_bfloat16': None, 'mixed_float16': 'dynamic'}


def test_settings_hold_the_graph_and_not_its_path(tmp_path):
  graph = known_graph('evonorm_b0')
  path = tmp_path / 'layer.json'
  graph.save(path)
  assert norm_act_settings(path) == LayerGraph.load(path).to_dict()
  (tmp_path / 'search' / 'report').mkdir(parents=True)
  graph.save(tmp_path / 'search' / 'report' / 'layer_1.json')
  assert norm_act_settings(str(tmp_path / 'search')) == graph.to_dict()
  assert {norm_act_settings(name) for name in ('evonorm_b0', 'EvoNormB0')} == {'evonorm_b0'}


def test_layers_and_their_options():
  training_config.check_norm_act('evonorm_s0', {'groups': 8})
  with pytest.raises(ValueError, match="`norm_act_options` must be arguments of 'evonorm_s0', received {'group': 8}"):
    training_config.check_norm_act('evonorm_s0', {'group': 8})


def test_xla_is_for_one_replica():
  training_config.check_jit_compile(True, {'synchronized': False}, 'one_device')
  training_config.check_jit_compile(False, {'synchronized': True}, 'mirrored')
  with pytest.raises(ValueError, match="`jit_compile=True` needs strategy='one_device', received 'tpu'"):
    training_config.check_jit_compile(True, {}, 'tpu')
  with pytest.raises(ValueError, match="`jit_compile=True` needs statistics that are not synchronized"):
    training_config.check_jit_compile(True, {'synchronized': True}, 'one_device')
