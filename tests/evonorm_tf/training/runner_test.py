"""A training in parts as TensorBoard shows it, and what a resumed training makes of another configuration."""

import numpy as np
import orbit
import pytest
from rich.console import Console
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

from evonorm_tf import termination
from evonorm_tf.training.experiment import Experiment
from evonorm_tf.training.log import TrainingLog
from tests.evonorm_tf.tiny_training import evaluation
from tests.evonorm_tf.tiny_training import network
from tests.evonorm_tf.tiny_training import run
from tests.evonorm_tf.tiny_training import weights

TIMES = {'images_per_second', 'steps_per_second'}


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
  """A folder with 4 steps, and 4 more at twice the rate; the results of each part."""
  folder = tmp_path_factory.mktemp('parts')
  results = [run(folder, epochs=1, steps_per_loop=2, histograms=True, operative_config=lambda: 'first = 1'),
             run(folder, epochs=2, steps_per_loop=2, learning_rate=1., operative_config=lambda: 'second = 2')]
  return folder, results


def read(folder):
  """TensorBoard's own reader, of all events."""
  return event_accumulator.EventAccumulator(str(folder), {'tensors': 0}).Reload()


def scalars(folder):
  """{tag: {step: the set of its values}}."""
  events, found = read(folder), {}
  for tag in events.Tags()['tensors']:
    for event in events.Tensors(tag):
      if event.tensor_proto.dtype in (tf.float32, tf.float64) and not event.tensor_proto.tensor_shape.dim:
        found.setdefault(tag, {}).setdefault(event.step, set()).add(float(tf.make_ndarray(event.tensor_proto)))
  return found


def test_scalars_of_the_training(parts):
  found = scalars(parts[0] / 'train')
  assert found.keys() == {'training_loss', 'accuracy', 'top_5_accuracy', 'learning_rate'} | TIMES
  for tag, values in found.items():
    assert list(values) == [2, 4, 6, 8], tag
    assert tag in TIMES or all(len(v) == 1 for v in values.values()), tag
  assert all(0 < value < 100 for values in found['training_loss'].values() for value in values)
  assert all(value > 0 for values in found['images_per_second'].values() for value in values)


def test_scalars_of_the_evaluations(parts):
  """The one at step 4 comes twice, since a restored training cannot know that it was complete."""
  folder, results = parts
  found = scalars(folder / 'validation')
  assert found.keys() == {'validation_loss', 'accuracy', 'top_5_accuracy', 'best_accuracy'}
  for tag, values in found.items():
    assert {step: list(v) for step, v in values.items()} == {r['step']: [r[tag]] for r in results}, tag


def test_another_learning_rate_takes_effect(parts):
  rates = scalars(parts[0] / 'train')['learning_rate']
  assert [*map(min, rates.values())] == pytest.approx([.5 * 10 / 256] * 2 + [1. * 10 / 256] * 2)


def test_configurations_images_and_histograms(parts):
  events = read(parts[0] / 'train')
  texts = [tf.make_ndarray(e.tensor_proto).item().decode() for e in events.Tensors('configuration')]
  assert texts == ['```\nfirst = 1\n```', '```\nsecond = 2\n```']
  assert (parts[0] / 'operative_config.gin').read_text() == 'second = 2'
  shown = tf.make_ndarray(events.Tensors('augmented')[0].tensor_proto)
  assert shown[:2].tolist() == [b'32', b'32'] and len(shown) == 2 + 10  # the images of a batch
  histograms = [tag for tag in events.Tags()['tensors'] if tag.endswith(('/gamma', '/v1'))]
  assert len(histograms) == 2 * 7  # 7 places
  assert all([e.step for e in events.Tensors(tag)] == [2, 4] for tag in histograms)


def test_the_results_are_those_of_the_newest_checkpoint(parts):
  folder, results = parts
  expected = evaluation(network(folder))
  assert {name: results[-1][name] for name in expected} == pytest.approx(expected, rel=1e-5)
  assert results[-1]['best_accuracy'] == max(r['accuracy'] for r in results)


def test_an_evaluation_writes_nothing_but_events(parts):
  folder, results = parts
  before = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
  again = run(folder, mode='eval', eval_batch_size=16)
  assert {**again, 'seconds': 0, 'best_accuracy': 0} == pytest.approx(
      {**results[-1], 'seconds': 0, 'best_accuracy': 0}, rel=1e-5)
  new = [path for path in folder.rglob('*') if path.is_file() and path.read_bytes() != before.get(path)]
  assert [path.parent.name for path in new] == ['validation']


@pytest.mark.parametrize('options, message', [
    (dict(momentum=.8), r'`sgd.momentum` is 0.8 here and 0.9 there'),
    (dict(ema_decay=.9), '`moving_average` is True here and False there'),
    (dict(precision='mixed_float16'), "`loss_scale` is 'dynamic' here and None there"),
    (dict(norm_act_options={'momentum': .5}), r'norm_act_options.momentum` is 0.5 here and None there')])
def test_what_would_be_restored_over_the_configuration_is_refused(parts, options, message):
  before = weights(parts[0]).keys()
  with pytest.raises(ValueError, match=message):
    run(parts[0], epochs=4, **options)
  assert weights(parts[0]).keys() == before


def test_mode_train_evaluates_nothing_and_orbit_is_silent(tmp_path, capsys):
  assert run(tmp_path, mode='train', epochs=.5, console=Console(), norm_act_options={'jit_compile': True}) == {}
  assert not (tmp_path / 'validation').exists() and not list((tmp_path / 'best').iterdir())
  assert weights(tmp_path)['global_step/.ATTRIBUTES/VARIABLE_VALUE'] == 2
  said = capsys.readouterr().out
  assert said.startswith('step ') and 'train | ' not in said and 'checkpoint' not in said
  orbit.controller.print('said by Orbit')
  assert capsys.readouterr().out == 'said by Orbit\n'


@pytest.mark.parametrize('options, saved_at', [
    pytest.param(dict(mode='train'), 2, marks=pytest.mark.slow),
    (dict(mode='train_and_eval', epochs_between_evaluations=.25), 1)])
def test_a_request_to_end_is_heeded_after_a_loop_or_an_evaluation(tmp_path, monkeypatch, options, saved_at):
  """Both at step 2 of 4, of which the second loop begins; or in the evaluation at step 1. The rest then follows.

  What a check counts, it counts once for each evaluation.
  """
  calls, checked = [], []
  check = lambda model, results: checked.append(results['step'])
  monkeypatch.setattr(Experiment, 'evaluation_checks', lambda self: [check])

  def ask(self, *_):
    calls.append(self)
    if len(calls) == 1:
      assert termination.request()

  whole, ended = tmp_path / 'whole', tmp_path / 'ended'
  run(whole, epochs=1, steps_per_loop=2, **options)
  steps = checked.copy()
  with monkeypatch.context() as patch:
    patch.setattr(TrainingLog, '__call__' if saved_at == 2 else 'evaluated', ask)
    with pytest.raises(KeyboardInterrupt):
      run(ended, epochs=1, steps_per_loop=2, **options)
  assert not termination.request() and len(calls) == 1
  assert weights(ended)['global_step/.ATTRIBUTES/VARIABLE_VALUE'] == saved_at
  run(ended, epochs=1, steps_per_loop=2, **options)
  assert checked == 2 * steps and steps == ([] if saved_at == 2 else [1, 2, 3, 4])
  expected, actual = weights(whole), weights(ended)
  assert expected.keys() == actual.keys()
  for name, value in expected.items():
    np.testing.assert_array_equal(actual[name], value, err_msg=name)
