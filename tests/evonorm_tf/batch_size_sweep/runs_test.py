"""Runs of a sweep: labels, folders, what becomes of a training, and results on disk."""

import json
import math

import pytest

from evonorm_tf.batch_size_sweep import runs as sweep_runs
from evonorm_tf.batch_size_sweep.runs import DONE
from evonorm_tf.batch_size_sweep.runs import FAILED
from evonorm_tf.batch_size_sweep.runs import Result
from evonorm_tf.batch_size_sweep.runs import Run
from evonorm_tf.output.model_dir import ModelDirError
from tests.evonorm_tf.fake_training import FakeTraining

pytestmark = pytest.mark.usefixtures('no_garbage')

RUN = Run('evonorm_s0', 'evonorm_s0', 32, 1)


def test_labels_are_unique_and_name_folders():
  specs = ['bn_relu', 'a/layer_1.json', 'b/layer_1.json', 'c/layer_1.json', 'd/layer_1_2.json', 'e/bn_relu.json',
           'e/gn_relu.json', 'f/x y.z.json', '..json']
  labels = sweep_runs.label_norm_acts(specs)
  assert list(labels.values()) == specs
  # gn_relu is not in this sweep, but may come into it later.
  assert list(labels) == ['bn_relu', 'layer_1', 'layer_1_2', 'layer_1_3', 'layer_1_2_2', 'bn_relu_2', 'gn_relu_2',
                          'x_y_z', '_']


def test_folders_of_searches_have_labels_that_name_folders(tmp_path, monkeypatch):
  (tmp_path / 'mine').mkdir()
  monkeypatch.chdir(tmp_path / 'mine')
  labels = sweep_runs.label_norm_acts(['.', './found_2', 'runs/layers', '/'])
  assert list(labels) == ['mine', 'found_2_2', 'layers_2', 'layer']


def test_each_seed_has_its_whole_grid_before_the_next():
  runs = sweep_runs.make_runs({'a': 'a', 'b': 'b.json'}, (8, 4), (5, 6))
  assert [(r.seed, r.batch_size, r.norm_act, r.spec) for r in runs] == [
      (seed, size, label, spec) for seed in (5, 6) for size in (8, 4) for label, spec in (('a', 'a'), ('b', 'b.json'))]
  assert runs[1].folder == 'b/batch_8/seed_5' and str(runs[1]) == 'b, batch 8, seed 5'


def test_a_training_gets_its_own_folder_and_its_metrics_are_kept(tmp_path):
  training = FakeTraining()
  result = sweep_runs.execute(RUN, training, tmp_path)
  folder = tmp_path / 'evonorm_s0' / 'batch_32' / 'seed_1'
  assert training.calls == [dict(model_dir=str(folder), mode='train_and_eval', norm_act='evonorm_s0', batch_size=32,
                                 seed=1)]
  assert folder.is_dir() and result.status == DONE
  seconds = result.metrics.pop('seconds')
  assert result.metrics == {'accuracy': .6, 'validation_loss': 1.25} and 0 <= seconds < 5


def test_the_trainings_own_seconds_win_and_other_metrics_are_left(tmp_path):
  result = sweep_runs.execute(RUN, lambda **_: {'accuracy': .5, 'seconds': 70, 'confusion': [[1, 2]]}, tmp_path)
  assert result.metrics == {'accuracy': .5, 'seconds': 70}


def test_an_error_becomes_the_result_and_an_interrupt_does_not(tmp_path):
  result = sweep_runs.execute(RUN, FakeTraining({('evonorm_s0', 32, 1): ArithmeticError('loss is nan')}), tmp_path)
  assert (result.status, result.message) == (FAILED, 'ArithmeticError: loss is nan')
  assert 'accuracy' not in result.metrics
  assert result.traceback.startswith('Traceback') and 'fake_training.py' in result.traceback
  with pytest.raises(KeyboardInterrupt):
    sweep_runs.execute(RUN, FakeTraining({('evonorm_s0', 32, 1): KeyboardInterrupt()}), tmp_path)


@pytest.mark.parametrize('metrics, message', [
    (None, '`train` must return a dict with `accuracy`, received None'),
    ({'validation_loss': 1.}, 'must return a dict with'),
    ({'accuracy': math.nan}, '`accuracy` must be finite'), ({'accuracy': 76.3}, '`accuracy` must be a fraction'),
    ({'accuracy': .1, 'validation_loss': math.inf}, '`validation_loss` must be finite, `train` returned inf')])
def test_metrics_that_cannot_be_are_a_failure(tmp_path, metrics, message):
  result = sweep_runs.execute(RUN, lambda **_: metrics, tmp_path)
  assert result.status == FAILED and message in result.message


def test_results_are_read_back(tmp_path):
  assert sweep_runs.read_result(RUN, tmp_path) == Result()
  (tmp_path / RUN.folder).mkdir(parents=True)
  for result in (Result(FAILED, {'seconds': 2.}, 'ValueError: µ', 'Traceback'), Result(DONE, {'accuracy': 1 / 3})):
    sweep_runs.write_result(RUN, result, tmp_path)
    assert sweep_runs.read_result(RUN, tmp_path) == result
  data = json.loads((tmp_path / 'evonorm_s0/batch_32/seed_1/result.json').read_text())
  assert (data['norm_act'], data['batch_size'], data['seed'], data['status']) == ('evonorm_s0', 32, 1, 'done')


@pytest.mark.parametrize('text', [
    '', '[]', '{"status": "done"}', '{"status": "well", "metrics": {}, "message": "", "traceback": ""}',
    '{"status": "done", "metrics": {}, "message": "", "traceback": ""}'])
def test_a_file_that_is_no_result_is_named(tmp_path, text):
  path = tmp_path / RUN.folder / 'result.json'
  path.parent.mkdir(parents=True)
  path.write_text(text)
  with pytest.raises(ModelDirError, match=f'{path}: not the result of a run: .*Remove it'):
    sweep_runs.read_result(RUN, tmp_path)
