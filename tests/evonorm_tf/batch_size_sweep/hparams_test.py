"""HParams, read back as TensorBoard's plugin reads them."""

import argparse

from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import list_session_groups
from tensorboard.plugins.hparams.backend_context import Context
import tensorflow as tf

from evonorm_tf.batch_size_sweep import hparams
from evonorm_tf.batch_size_sweep.runs import DONE
from evonorm_tf.batch_size_sweep.runs import FAILED
from evonorm_tf.batch_size_sweep.runs import Result
from tests.evonorm_tf.fake_training import grid

RUNS = grid()
NAMES = ['accuracy', 'top_5_accuracy', 'validation_loss', 'seconds']


def write(model_dir, results):
  hparams.write_experiment(model_dir, RUNS)
  for run, result in results.items():
    hparams.write_run(model_dir, run, result)


def read(model_dir):
  """The experiment and its rows, by hyperparameters."""
  multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(model_dir))
  multiplexer.Reload()
  provider = data_provider.MultiplexerDataProvider(multiplexer, str(model_dir))
  context = Context(TBContext(data_provider=provider, flags=argparse.Namespace(generic_data='auto')))
  experiment = context.experiment_from_metadata(
      RequestContext(), '', True, context.hparams_metadata(RequestContext(), ''), None)
  request = api_pb2.ListSessionGroupsRequest(
      start_index=0, slice_size=100, allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE])
  groups = list_session_groups.Handler(RequestContext(), context, '', request).run().session_groups
  rows = {}
  for group in groups:
    assert len(group.sessions) == 1
    key = (group.hparams['norm_act'].string_value, group.hparams['batch_size'].number_value,
           group.hparams['seed'].number_value)
    values = {m.name.tag.removeprefix('sweep/'): m.value for m in group.metric_values}
    rows[key] = (group.sessions[0].name, group.sessions[0].status, values)
  return experiment, rows


def test_a_row_a_run(tmp_path):
  write(tmp_path, {run: Result(DONE, {'accuracy': i / 8, 'validation_loss': i + .5}) for i, run in enumerate(RUNS)})
  _, rows = read(tmp_path)
  assert rows == {(run.norm_act, run.batch_size, run.seed): (
      run.folder, api_pb2.STATUS_SUCCESS, {'accuracy': i / 8, 'validation_loss': i + .5}) for i, run in enumerate(RUNS)}


def test_domains_and_metrics(tmp_path):
  write(tmp_path, {})
  experiment, rows = read(tmp_path)
  assert not rows
  domains = {info.name: list(info.domain_discrete) for info in experiment.hparam_infos}
  assert domains == {'norm_act': ['bn_relu', 'evonorm_s0'], 'batch_size': [4, 32], 'seed': [0, 1]}
  assert [info.display_name for info in experiment.metric_infos] == NAMES


def test_a_later_attempt_replaces_the_row(tmp_path):
  run = RUNS[0]
  write(tmp_path, {run: Result(FAILED, {'seconds': 3.}, 'x')})
  key = (run.norm_act, run.batch_size, run.seed)
  assert read(tmp_path)[1] == {key: (run.folder, api_pb2.STATUS_FAILURE, {'seconds': 3})}
  write(tmp_path, {run: Result(DONE, {'accuracy': .5})})
  assert read(tmp_path)[1] == {key: (run.folder, api_pb2.STATUS_SUCCESS, {'accuracy': .5})}


def test_the_trainer_s_own_events_stay_and_do_not_count(tmp_path):
  run = RUNS[0]
  for folder in ('.', 'eval'):
    with tf.summary.create_file_writer(str(tmp_path / run.folder / folder)).as_default(step=1000):
      tf.summary.scalar('accuracy', .125)
  write(tmp_path, {run: Result(DONE, {'accuracy': .5})})
  assert [row[2] for row in read(tmp_path)[1].values()] == [{'accuracy': .5}]
  files = [p.name for p in (tmp_path / run.folder).iterdir() if p.is_file()]
  assert len(files) == 2 and len([f for f in files if f.endswith('.hparams')]) == 1


def test_text(tmp_path):
  for text in ('    rate = 1', '    rate = 2'):
    hparams.write_text(tmp_path, 'config', text)
  multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
  multiplexer.Reload()
  assert [tf.make_ndarray(e.tensor_proto).item() for e in multiplexer.Tensors('.', 'config')] == [b'    rate = 2']
