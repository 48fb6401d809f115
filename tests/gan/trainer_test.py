"""The GAN trainer on tiny networks: exact resume, refusals, guards, what it writes, scores against NumPy."""

import io
import json
import pathlib
import shutil

import numpy as np
import pytest
from rich.console import Console
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act
from gan.networks import latents
from gan.scores import frechet
from gan.training import losses
from gan.training.collapse import Collapse
from gan.training.optimizer import Adams
from tests.evonorm_tf.damaged_checkpoints import DAMAGES
from tests.evonorm_tf.tiny_training import weights
from tests.gan import tiny_gan
from tests.gan.tiny_gan import run
from tests.gan.tiny_gan import settings
from tests.gan.tiny_gan import TinyData


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A folder, the results and what was said."""
  folder, console = tmp_path_factory.mktemp('trained') / 'model', Console(file=io.StringIO(), width=80)
  return folder, run(folder, console=console, standing_batches=2, operative_config=lambda: 'a = 1'), console.file


def test_an_interrupted_training_ends_bitwise_like_another(trained, tmp_path):
  """With evaluations and their standing statistics in one and not in the other, whose parts end within an interval."""
  for steps in (5, 8):
    run(tmp_path, mode='train', steps=steps)
  expected, actual = weights(trained[0]), weights(tmp_path)
  assert expected.keys() == actual.keys() and len(expected) > 30
  for name, value in expected.items():
    if 'bad_evaluations' not in name:
      np.testing.assert_array_equal(actual[name], value, err_msg=name)
  assert {name.split('/')[1] for name in expected if name.startswith('model/')} >= {'generator', 'average',
                                                                                   'discriminator'}


@pytest.mark.slow
def test_a_damaged_checkpoint_ends_bitwise_like_another(trained, tmp_path, caplog):
  folder = shutil.copytree(trained[0], tmp_path / 'damaged')
  DAMAGES['shard missing'](folder, 'ckpt-8')
  DAMAGES['index cut'](folder, 'ckpt-6')
  DAMAGES['data cut'](folder / 'best', pathlib.Path(tf.train.latest_checkpoint(folder / 'best')).name)
  with pytest.raises(ArgumentError, match='No checkpoint in .*best_ckpt-.*is damaged'):
    run(folder, mode='sample', from_best=True)
  assert run(folder, mode='eval')['step'] == 4
  run(folder, standing_batches=2)
  assert "ckpt-8.data-00000-of-00001' is missing" in caplog.text and "ckpt-6.index' is damaged" in caplog.text
  for name, value in weights(trained[0]).items():
    np.testing.assert_array_equal(weights(folder)[name], value, err_msg=name)
  run(folder, mode='sample', from_best=True)  # written anew


def test_the_average_starts_as_a_copy_and_follows_then(tmp_path):
  """Of every second step's weights, the average of the variables with decay ½ from step 3 on."""
  run(tmp_path, mode='train', steps=4, step=settings(d_steps=1, ema_start=3), steps_per_loop=1,
      steps_between_checkpoints=1, checkpoints_to_keep=4)
  values = {step: {} for step in range(1, 5)}
  for step, found in values.items():
    reader = tf.train.load_checkpoint(str(tmp_path / f'ckpt-{step}'))
    for name in reader.get_variable_to_shape_map():
      if name.startswith(('model/generator', 'model/average')) and 'OPTIMIZER' not in name:
        found[name.removeprefix('model/')] = reader.get_tensor(name)
  names = [name.removeprefix('generator') for name in values[1] if name.startswith('generator')]
  assert any('moving_variance' in name for name in names) and len(names) >= 8
  for name in names:
    average = values[1]['average' + name]
    for step in range(1, 5):
      own = values[step]['generator' + name]
      average = own if step < 3 else (average + own) / 2
      np.testing.assert_allclose(values[step]['average' + name], average, rtol=1e-6, atol=1e-7, err_msg=name)
  assert not np.array_equal(values[4]['average' + names[0]], values[4]['generator' + names[0]])


def network(folder):
  """The averaged generator of the newest checkpoint, without a trainer."""
  generator = tiny_gan.TinyNetworks().make_generator(get_norm_act('evonorm_b0'), tiny_gan.SIZE, 10)
  generator((tf.zeros([1, 4]), tf.zeros([1], tf.int32)))
  root = tf.train.Checkpoint(model=tf.train.Checkpoint(average=generator))
  root.restore(tf.train.latest_checkpoint(str(folder))).expect_partial().assert_existing_objects_matched()
  return generator


def fid_of(generator):
  """FID of the samples that an evaluation should draw, the covariances by NumPy."""
  samples = []
  for number in range(3):
    seed = latents.seed_of(0, latents.Purpose.EVALUATION, number)
    samples.append(generator(latents.draw(seed, 10, 4, 10)).numpy())
  real = np.concatenate(list(TinyData().real_images(7).as_numpy_iterator()))
  moments = []
  for images in (np.concatenate(samples)[:25], real):
    features = tiny_gan.TinyFeatures()(tf.constant(images))[0].numpy().astype(np.float64)
    moments += [features.mean(0), np.cov(features.T)]
  return frechet.frechet_distance(*moments)


def test_the_scores_are_those_of_the_averaged_generator(trained):
  results = run(trained[0], mode='eval')
  assert results['fid'] == pytest.approx(fid_of(network(trained[0])), rel=1e-4)
  assert results['step'] == trained[1]['step'] == 8 and trained[1]['best_fid'] <= trained[1]['fid']


def test_standing_statistics_are_used_and_taken_away(trained):
  """The scores differ from those by moving averages, which the checkpoint holds, as the resume shows."""
  assert trained[1]['fid'] != pytest.approx(fid_of(network(trained[0])), rel=1e-3)


def test_an_evaluation_is_repeated_exactly(trained):
  again = run(trained[0], mode='eval', standing_batches=2)
  assert {k: v for k, v in again.items() if k != 'seconds'} == {
      k: v for k, v in trained[1].items() if k not in ('seconds', 'best_fid')}


def test_every_report_names_the_protocol(trained):
  folder, results, said = trained
  info = json.loads((folder / 'best' / 'info.json').read_text())
  assert info['protocol'] == results['protocol'] and 'projection' in info['protocol'] and '; real images: tiny' in info[
      'protocol']
  assert info['fid'] == pytest.approx(results['best_fid'])
  lines = [line for line in said.getvalue().splitlines() if 'FID' in line]
  assert len(lines) == 2 and all(line.endswith(' by projection') for line in lines)
  events = read(folder / 'validation')
  assert results['protocol'] in tf.make_ndarray(events.Tensors('protocol')[-1].tensor_proto).item().decode()


def read(folder):
  return event_accumulator.EventAccumulator(str(folder), {'tensors': 0}).Reload()


def test_tensorboard(trained):
  tags = set(read(trained[0] / 'train').Tags()['tensors'])
  assert tags >= {'d_loss', 'g_loss', 'd_real', 'd_fake', 'learning_rate', 'discriminator_learning_rate',
                  'images_per_second', 'real', 'configuration'}
  events = read(trained[0] / 'validation')
  assert set(events.Tags()['tensors']) >= {'fid', 'best_fid', 'inception_score', 'kid', 'precision', 'recall'}
  for name, rows in (('samples', 10), ('interpolations', 10), ('truncations', 8)):
    shown = events.Tensors(name)
    assert [event.step for event in shown][:2] == [4, 8]
    assert tf.make_ndarray(shown[0].tensor_proto)[:2].tolist() == [b'80', str(8 * rows).encode()]


def test_sampling_writes_pictures(trained):
  folder = run(trained[0], mode='sample', truncation=.5, classes=[3, 1])
  sizes = {}
  for name in ('samples', 'interpolations', 'truncations'):
    sizes[name] = tf.io.decode_png(tf.io.read_file(f'{folder}/{name}.png')).shape.as_list()
  assert sizes == {'samples': [16, 80, 3], 'interpolations': [16, 80, 3], 'truncations': [64, 80, 3]}
  pictures = [pathlib.Path(folder, 'samples.png').read_bytes()]
  run(trained[0], mode='sample', truncation=.5, classes=[3, 1], from_best=True)
  pictures.append(pathlib.Path(folder, 'samples.png').read_bytes())
  assert (pictures[0] == pictures[1]) == (trained[1]['best_fid'] == trained[1]['fid'])


def test_collapse_stops_the_training_also_in_parts_and_keeps_the_best(tmp_path):
  options = dict(max_fid=.001, max_fid_evaluations=2, step=settings(d_steps=1))
  run(tmp_path, steps=4, **options)
  for _ in range(2):  # again at the same step, and no further
    with pytest.raises(Collapse, match=r'FID has been above 0.001 in 2 evaluations in a row: .* at step 8. The best '):
      run(tmp_path, steps=12, **options)
    assert tf.train.latest_checkpoint(tmp_path).endswith('-8')
  best = json.loads((tmp_path / 'best' / 'info.json').read_text())['best_ckpt_global_step']
  assert best in (4, 8) and tf.train.latest_checkpoint(tmp_path / 'best').startswith(str(tmp_path / 'best'))


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
  with pytest.raises(FloatingPointError, match=r'Training stopped, for .* is not finite .*step'):
    run(tmp_path, adams=Adams(1e38, 1e38), mode='train', step=settings(d_steps=1, loss=losses.wasserstein))


@pytest.mark.parametrize('norm_act, precision, options', [
    ('evonorm_s0', 'mixed_bfloat16', dict(jit_compile=False)), ('bn_relu', 'mixed_float16', {}),
    pytest.param('evonorm_s0', 'mixed_bfloat16', {}, marks=pytest.mark.slow),
    pytest.param('evonorm_b0', 'mixed_float16', {}, marks=pytest.mark.slow)])
def test_mixed_precision(tmp_path, norm_act, precision, options):
  results = run(tmp_path, norm_act=norm_act, norm_act_options=options, precision=precision, steps=4,
                step=settings(d_steps=1), standing_batches=1)
  assert np.isfinite(results['fid'])
  before, after = (tf.train.load_checkpoint(str(tmp_path / f'ckpt-{step}')) for step in (2, 4))
  name = 'model/generator/first/kernel/.ATTRIBUTES/VARIABLE_VALUE'
  assert after.get_tensor(name).dtype == np.float32
  assert not np.array_equal(before.get_tensor(name), after.get_tensor(name))  # no step was skipped for ever


def test_a_compiled_step_is_close_to_another(tmp_path):
  """Under XLA z and labels are others, so the images are compared by what they are: finite, and trained."""
  run(tmp_path, mode='train', steps=4, jit_compile=True, norm_act='evonorm_s0')
  assert all(np.isfinite(value).all() for value in weights(tmp_path).values())
  before, after = (tf.train.load_checkpoint(str(tmp_path / f'ckpt-{step}')) for step in (2, 4))
  for network in ('generator', 'discriminator', 'average'):
    changes = [np.abs(after.get_tensor(name) - before.get_tensor(name)).max() for name in weights(tmp_path)
               if name.startswith(f'model/{network}/') and name.endswith('kernel/.ATTRIBUTES/VARIABLE_VALUE')]
    assert changes and all(0 < change < 1 for change in changes), network


@pytest.mark.parametrize('options, message', [
    (dict(mode='export'), '`mode`'), (dict(precision='float8'), '`precision`'), (dict(steps=0), '`steps`'),
    (dict(norm_act='evonorm_z9'), '`spec`'), (dict(mode='eval'), '`model_dir` must hold a checkpoint'),
    (dict(mode='sample', from_best=True), "found none in '.*best'"), (dict(max_fid=0.), '`max_fid`'),
    (dict(truncation=.5), "`truncation` is for mode 'sample' alone"), (dict(standing_batches=-1), '`standing_batches`'),
    (dict(mode='sample', classes=[10]), '`classes` must be labels from 0 to 9'),
    (dict(mode='sample', truncation=-1.), '`truncation`'), (dict(mode='eval', classes=[1]), '`classes` is for mode'),
    (dict(jit_compile=True, strategy='mirrored'), '`jit_compile=True`'),
    (dict(strategy='mirrored', step=settings(batch_size=3)), '`batch_size` must be a multiple of the 2 replicas')])
def test_bad_arguments_fail_before_any_work(tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    run(tmp_path / 'new', **options)
  assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('options, message', [
    (dict(norm_act='bn_relu'), "`norm_act` is 'bn_relu' here"), (dict(adams=Adams(.01, .01, beta_1=.5)), '`beta_1`'),
    (dict(networks=tiny_gan.TinyNetworks(5)), '`channels` is 5 here')])
def test_checkpoints_of_another_model_are_refused(trained, options, message):
  with pytest.raises(ValueError, match=message):
    run(trained[0], **options)
