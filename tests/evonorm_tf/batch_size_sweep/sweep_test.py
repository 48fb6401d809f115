"""The sweep with a trainer that takes no time: coverage, resumption, refusals."""

import csv
import json
import shutil

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from evonorm_tf.batch_size_sweep import report as sweep_report
from evonorm_tf.batch_size_sweep.runs import DONE
from evonorm_tf.batch_size_sweep.runs import FAILED
from evonorm_tf.batch_size_sweep.sweep import run_sweep
from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.keras2 import EvoNormS0
from evonorm_tf.layers.registry import _LAYERS
from evonorm_tf.output.model_dir import ModelDirError
from tests.evonorm_tf.fake_training import FakeTraining

GRID = dict(norm_acts=('bn_relu', 'evonorm_s0'), batch_sizes=(32, 4), seeds=(0, 1))
ALL = [(name, size, seed) for seed in (0, 1) for size in (32, 4) for name in ('bn_relu', 'evonorm_s0')]
SETTINGS = {'train.rate': '0.1', 'train.epochs': '90'}


@pytest.fixture(autouse=True)
def _quick(monkeypatch, no_garbage):
  """The plot has tests of its own; it and garbage would take most of the time."""
  monkeypatch.setattr(sweep_report, 'save_figure', lambda figure, path: path.write_bytes(b'png'))


def sweep(model_dir, training, **arguments):
  return run_sweep(str(model_dir), training, **{'settings': lambda: SETTINGS, **GRID, **arguments})


def statuses(model_dir):
  """By run, as the table on disk tells."""
  rows = csv.DictReader((model_dir / 'results.csv').read_text().splitlines())
  return {(r['norm_act'], int(r['batch_size']), int(r['seed'])): r['status'] for r in rows}


def test_every_run_is_made_once_in_order(tmp_path):
  training = FakeTraining()
  results = sweep(tmp_path, training)
  assert training.runs == ALL and {c['mode'] for c in training.calls} == {'train_and_eval'}
  assert len({c['model_dir'] for c in training.calls}) == len(ALL)
  assert [(r.norm_act, r.batch_size, r.seed) for r in results] == ALL
  assert {result.status for result in results.values()} == {DONE}
  assert statuses(tmp_path) == dict.fromkeys(ALL, 'done')
  assert '| evonorm_s0 | 55.00 ± 7.07 | 55.00 ± 7.07 |' in (tmp_path / 'results.md').read_text()
  sweep(tmp_path, again := FakeTraining())
  assert not again.calls and statuses(tmp_path) == dict.fromkeys(ALL, 'done')


def test_a_folder_in_which_no_checkpoint_would_be_found_is_refused_before_the_first_run(tmp_path):
  training = FakeTraining()
  with pytest.raises(ArgumentError, match=r"`model_dir` must be a path without any of .* received '.*\[1\]'"):
    sweep(tmp_path / 'runs [1]', training)
  assert not training.calls and not list(tmp_path.iterdir())
  sweep(tmp_path / 'é {a} b', training)
  assert training.runs == ALL


def test_a_folder_that_goes_away_ends_the_sweep(tmp_path):
  class Removing(FakeTraining):
    def __call__(self, **arguments):
      if len(self.calls) == 2:
        shutil.rmtree(tmp_path / 'sweep')
      return super().__call__(**arguments)

  training = Removing()
  with pytest.raises(ModelDirError, match='sweep.lock: .* was removed, moved or replaced during this sweep'):
    sweep(tmp_path / 'sweep', training)
  assert len(training.calls) == 3 and not (tmp_path / 'sweep').exists()


def test_a_failed_run_is_told_of_and_tried_again_by_the_next_start(tmp_path):
  failing = FakeTraining({ALL[1]: ArithmeticError('loss is nan'), ALL[4]: OSError('bad checkpoint')})
  sweep(tmp_path, failing)
  assert failing.runs == ALL
  assert [run for run, status in statuses(tmp_path).items() if status == FAILED] == [ALL[1], ALL[4]]
  page = (tmp_path / 'results.md').read_text()
  assert '- evonorm_s0, batch 32, seed 0: ArithmeticError: loss is nan' in page and 'bad checkpoint' in page
  sweep(tmp_path, again := FakeTraining())
  assert again.runs == [ALL[1], ALL[4]] and set(statuses(tmp_path).values()) == {'done'}


def test_an_interrupted_sweep_leaves_its_report_and_goes_on(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    sweep(tmp_path, first := FakeTraining({ALL[3]: KeyboardInterrupt()}))
  assert list(statuses(tmp_path).values()) == ['done'] * 3 + ['pending'] * 5
  sweep(tmp_path, second := FakeTraining())
  assert second.runs == ALL[3:]
  assert first.calls[3] == second.calls[0]  # the same folder, where its checkpoints are


def test_a_result_is_on_disk_before_the_next_run_begins(tmp_path):
  class Looking(FakeTraining):

    def __call__(self, **arguments):
      done = [path.parent for path in tmp_path.rglob('result.json')]
      assert sorted(map(str, done)) == sorted(c['model_dir'] for c in self.calls)
      assert list(statuses(tmp_path).values()).count('done') == len(self.calls)
      return super().__call__(**arguments)

  assert {r.status for r in sweep(tmp_path, Looking()).values()} == {DONE}


def test_other_settings_are_refused(tmp_path):
  sweep(tmp_path, FakeTraining(), seeds=(0,))
  before = (tmp_path / 'sweep.json').read_bytes()
  with pytest.raises(ModelDirError) as error:
    sweep(tmp_path, training := FakeTraining(), settings=lambda: {'train.rate': '0.2', 'train.epochs': '90'})
  assert '`settings.train.rate` is \'0.2\' here and \'0.1\' there' in str(error.value)
  assert 'sweep.json belongs to a sweep of another configuration' in str(error.value)
  assert 'epochs' not in str(error.value)
  assert not training.calls and (tmp_path / 'sweep.json').read_bytes() == before


def test_settings_of_a_run_that_was_only_begun_count(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    sweep(tmp_path, FakeTraining({ALL[0]: KeyboardInterrupt()}))
  with pytest.raises(ModelDirError, match='`settings.train.epochs` is None here'):
    sweep(tmp_path, FakeTraining(), settings=lambda: {'train.rate': '0.1'})


def test_a_sweep_begun_with_former_names_goes_on_with_present_ones(tmp_path):
  former = {'classification_data.Cifar10.padding': '4', 'run.data': '@classification_data.Cifar10()'}
  present = {'cifar10.Cifar10.padding': '4', 'run.data': '@cifar10.Cifar10()'}
  sweep(tmp_path, FakeTraining(), settings=lambda: former)
  sweep(tmp_path, again := FakeTraining(), settings=lambda: present)
  assert not again.runs
  with pytest.raises(ModelDirError, match="`settings.Cifar10.padding` is '2' here and '4' there"):
    sweep(tmp_path, FakeTraining(), settings=lambda: present | {'cifar10.Cifar10.padding': '2'})


def test_the_grid_may_grow_and_shrink(tmp_path):
  sweep(tmp_path, FakeTraining(), seeds=(0,))
  sweep(tmp_path, one := FakeTraining(), norm_acts=('evonorm_s0',), batch_sizes=(4, 8), seeds=(0,))
  assert one.runs == [('evonorm_s0', 8, 0)]
  sweep(tmp_path, more := FakeTraining(), norm_acts=['gn_relu', 'bn_relu', 'evonorm_s0'])
  assert more.runs == [('gn_relu', 32, 0), ('gn_relu', 4, 0)] + [
      (name, size, 1) for size in (32, 4) for name in ('gn_relu', 'bn_relu', 'evonorm_s0')]


def graph(folder, primitive):
  """The path of a layer graph's file."""
  path = folder / 'layer_1.json'
  path.parent.mkdir(exist_ok=True)
  LayerGraph((Node(primitive, (1,)),)).save(path)
  return str(path)


def test_layer_graphs_are_told_apart_and_must_stay(tmp_path):
  paths = [graph(tmp_path / 'a', 'tanh'), graph(tmp_path / 'b', 'sigmoid')]
  small = dict(batch_sizes=(4,), seeds=(0,))
  sweep(tmp_path / 'sweep', training := FakeTraining(), norm_acts=paths, **small)
  trained = [LayerGraph.load(c['norm_act']).nodes[0].primitive for c in training.calls]
  assert trained == ['tanh', 'sigmoid']
  assert [c['model_dir'].split('/')[-3] for c in training.calls] == ['layer_1', 'layer_1_2']
  graph(tmp_path / 'a', 'exp')
  with pytest.raises(ModelDirError, match='`norm_acts.layer_1.nodes` is .*exp.* here and .*tanh.* there'):
    sweep(tmp_path / 'sweep', FakeTraining(), norm_acts=paths, **small)
  with pytest.raises(ModelDirError, match='`norm_acts.layer_1'):  # with the labels exchanged
    sweep(tmp_path / 'sweep', FakeTraining(), norm_acts=paths[::-1], **small)
  sweep(tmp_path / 'sweep', training := FakeTraining(), norm_acts=('bn_relu',), **small)  # layer_1 is not asked for
  assert 'tanh' in (tmp_path / 'sweep' / 'sweep.json').read_text()


def test_layers_in_any_spelling_and_of_searches(tmp_path):
  (tmp_path / 'search').mkdir()
  graph(tmp_path / 'search' / 'report', 'tanh')
  norm_acts = ('EvoNormS0', str(tmp_path / 'search'))
  sweep(tmp_path / 'sweep', training := FakeTraining(), norm_acts=norm_acts, batch_sizes=(4,), seeds=(0,))
  graph(tmp_path / 'search' / 'report', 'exp')  # the search goes on and changes its best layer
  name, path = (c['norm_act'] for c in training.calls)
  assert name == 'evonorm_s0' and LayerGraph.load(path).nodes[0].primitive == 'tanh'
  layers = json.loads((tmp_path / 'sweep' / 'sweep.json').read_text())['norm_acts']
  assert layers['evonorm_s0'] == 'evonorm_s0' and layers['search']['nodes'][0]['primitive'] == 'tanh'


def test_a_layer_that_cannot_be_constructed_is_refused_before_the_first_run(tmp_path, monkeypatch):
  monkeypatch.setitem(_LAYERS['tf_keras'], 'no_groups', (EvoNormS0, {'groups': 0}))
  with pytest.raises(ArgumentError, match="`norm_acts` must be .* received 'no_groups': `groups` must be"):
    sweep(tmp_path, training := FakeTraining(), norm_acts=('bn_relu', 'no_groups'))
  assert not training.calls


def test_one_sweep_at_a_time(tmp_path):
  def train(model_dir, mode, norm_act, batch_size, seed):
    with pytest.raises(ModelDirError, match='another process is running this sweep'):
      sweep(tmp_path, FakeTraining())
    return {'accuracy': .5}

  results = sweep(tmp_path, train, seeds=(0,), batch_sizes=(4,))
  assert {r.status for r in results.values()} == {DONE}
  sweep(tmp_path, FakeTraining())


@pytest.mark.parametrize('argument, value, message', [
    ('norm_acts', (), '`norm_acts` must be different names or paths'), ('norm_acts', 'bn_relu', 'received .bn_relu'),
    ('norm_acts', ('bn_relu', 'BN-ReLU'), "`norm_acts` must be different layers; 'BN-ReLU' is one of those before it"),
    ('norm_acts', ('bn_relu', 'bn_rlu'), "received 'bn_rlu': `spec` must be one of"),
    ('norm_acts', ('nowhere.json',), "received 'nowhere.json': .*cannot be read"),
    ('batch_sizes', (), '`batch_sizes` must be different integers from 1 on'), ('batch_sizes', (0, 4), 'from 1 on'),
    ('batch_sizes', (4, 4), 'different'), ('batch_sizes', (4.,), r'received \(4.0,\)'), ('seeds', 3, '`seeds` must be'),
    ('seeds', (-1,), 'from 0 on'), ('train', lambda model_dir, mode, norm_act, seed: 0, "unexpected .*'batch_size'"),
    ('train', 3, '`train` must be a function of model_dir, mode, norm_act, batch_size, seed, received 3')])
def test_arguments_that_cannot_work_fail_before_the_first_run(tmp_path, argument, value, message):
  training = FakeTraining()
  with pytest.raises(ValueError, match=message):
    run_sweep(str(tmp_path / 'new'), **{'train': training, **GRID, argument: value})
  assert not training.calls and not (tmp_path / 'new').exists()


@pytest.mark.parametrize('text', ['', '[]', '{"version": 2, "settings": {}, "norm_acts": {}}', '{"version": 1}'])
def test_a_damaged_header_is_named(tmp_path, text):
  (tmp_path / 'sweep.json').write_text(text)
  with pytest.raises(ModelDirError, match='sweep.json: expected the settings of a sweep of version 1'):
    sweep(tmp_path, FakeTraining())
  assert (tmp_path / 'sweep.json').read_text() == text


def test_what_lies_in_the_model_directory(tmp_path):
  sweep(tmp_path, FakeTraining(), norm_acts=('bn_relu',), batch_sizes=(4,), seeds=(0,),
        operative_config=lambda: 'train.rate = 0.1\n')
  names = {path.name for path in tmp_path.iterdir() if 'tfevents' not in path.name}
  assert names == {'accuracy_by_batch_size.png', 'bn_relu', 'operative_config.gin', 'results.csv', 'results.md',
                   'sweep.json', 'sweep.lock'}
  assert json.loads((tmp_path / 'sweep.json').read_text()) == {
      'version': 1, 'settings': SETTINGS, 'norm_acts': {'bn_relu': 'bn_relu'}}
  assert (tmp_path / 'operative_config.gin').read_text() == 'train.rate = 0.1\n'
  assert 'operative_config' in EventAccumulator(str(tmp_path)).Reload().Tags()['tensors']
