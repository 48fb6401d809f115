"""The classification trainer on tiny networks: exact resume, refusals, the guard against NaN, evaluation, export."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console
import tensorflow as tf
import tf_keras

from evonorm_tf import cifar10
from evonorm_tf import classification
from evonorm_tf.backbones import ResNet
from evonorm_tf.classification_data import Cifar10
from evonorm_tf.optimization import Optimization

IMAGES = 40


@dataclasses.dataclass(frozen=True)
class TinyData(Cifar10):
  """The first images of the bundled subset."""

  def _split(self, name):
    images, labels = cifar10.load_split(name)
    return images[:IMAGES], labels[:IMAGES]

  @property
  def train_images(self):
    return IMAGES

  def training_batches(self, batch_size, seed, first_step=0, input_context=None):
    images, labels = self._split('train')
    return cifar10.training_batches(cifar10.pad(images, 4), labels, batch_size, 32, seed, first_step, input_context)

  def evaluation_batches(self, batch_size, input_context=None):
    return cifar10.evaluation_batches(*self._split('test'), batch_size, input_context)


def run(model_dir, mode='train_and_eval', norm_act='evonorm_b0', learning_rate=.5, ema_decay=None, **options):
  optimization = Optimization(
      learning_rate, options={'momentum': .9}, decay='constant', ema_decay=ema_decay)
  arguments = dict(batch_size=10, epochs=2, steps_per_loop=1, dropout=.3, weight_decay=1e-4) | options
  return classification.run_classification(
      str(model_dir), mode, norm_act, ResNet(depth=8, width_multiplier=.25, small_images=True), TinyData(),
      optimization, console=Console(file=io.StringIO()), **arguments)


def weights(model_dir):
  """The tensors of the newest checkpoint, without counters of saves."""
  reader = tf.train.load_checkpoint(str(model_dir))
  names = [n for n in reader.get_variable_to_shape_map() if n.endswith('VARIABLE_VALUE') and 'save_counter' not in n]
  return {name: reader.get_tensor(name) for name in names}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained')
  return folder, run(folder)


@pytest.mark.parametrize('ema_decay', [None, .9])
def test_an_interrupted_training_ends_bitwise_like_another(trained, tmp_path, ema_decay):
  """With dropout; and with an average of the weights, which every evaluation swaps in and out."""
  straight = trained[0] if ema_decay is None else tmp_path / 'straight'
  if ema_decay:
    run(straight, ema_decay=ema_decay)
  run(tmp_path / 'parts', epochs=1, ema_decay=ema_decay)
  run(tmp_path / 'parts', epochs=2, ema_decay=ema_decay)
  expected, actual = weights(straight), weights(tmp_path / 'parts')
  assert expected.keys() == actual.keys() and len(expected) > 40
  for name, value in expected.items():
    np.testing.assert_array_equal(actual[name], value, err_msg=name)


def test_a_finished_training_is_evaluated_again(trained):
  folder, results = trained
  again = run(folder)
  assert again['step'] == results['step'] == 8
  for name in ('accuracy', 'top_5_accuracy', 'validation_loss'):
    np.testing.assert_allclose(again[name], results[name], rtol=1e-6)


def test_the_export_reads_pixels_and_files_and_has_the_evaluated_accuracy(trained):
  folder, results = trained
  loaded = tf.saved_model.load(run(folder, mode='export'))
  images, labels = TinyData()._split('test')
  from_pixels = loaded.signatures['serving_default'](images=tf.constant(images))
  files = tf.stack([tf.io.encode_png(image) for image in images])
  from_files = loaded.signatures['image_bytes'](image_bytes=files)
  np.testing.assert_allclose(from_files['logits'], from_pixels['logits'], atol=1e-5)
  np.testing.assert_allclose(np.mean(from_pixels['classes'] == labels), results['accuracy'], atol=1e-6)
  assert [name.decode() for name in loaded.class_names.numpy()] == list(cifar10.LABEL_NAMES)


def test_checkpoints_of_another_layer_are_refused(trained):
  with pytest.raises(ValueError, match="another model.*norm_act was 'evonorm_b0' and is 'bn_relu'"):
    run(trained[0], norm_act='bn_relu')


def test_a_loss_that_is_not_finite_stops_the_training_and_keeps_good_checkpoints(tmp_path):
  policy = tf_keras.mixed_precision.global_policy()
  with pytest.raises(FloatingPointError, match=r'Training stopped, for .* step \d+'):
    run(tmp_path, norm_act='bn_relu', learning_rate=1e30, epochs=8, precision='mixed_bfloat16')
  if tf.train.latest_checkpoint(str(tmp_path)):
    assert all(np.isfinite(value).all() for value in weights(tmp_path).values())
  assert tf_keras.mixed_precision.global_policy().name == policy.name


@pytest.mark.parametrize('options, message', [
    (dict(mode='trian'), '`mode`'), (dict(precision='float8'), '`precision`'), (dict(batch_size=0), '`batch_size`'),
    (dict(epochs=-1), '`epochs`'), (dict(norm_act='evonorm_z9'), '`spec`'), (dict(mode='eval'), '`model_dir`'),
    (dict(jit_compile=True, strategy='mirrored'), '`jit_compile=True`')])
def test_bad_arguments_fail_before_any_work(tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    run(tmp_path / 'new', **options)
  assert not (tmp_path / 'new').exists()
