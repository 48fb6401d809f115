"""The classification trainer on two replicas, the logical CPUs of conftest; one device is the reference."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console
import tensorflow as tf

from evonorm_tf import cifar10
from evonorm_tf import classification
from evonorm_tf.backbones import ResNet
from evonorm_tf.classification_data import Cifar10
from evonorm_tf.optimization import Optimization

TRAIN_IMAGES, TEST_IMAGES = 24, 21


@dataclasses.dataclass(frozen=True)
class TinyData(Cifar10):
  """The first images of the bundled subset; so many of the test images that replicas get different numbers of them."""
  train_images, validation_images = TRAIN_IMAGES, TEST_IMAGES

  def training_batches(self, batch_size, seed, first_step=0, input_context=None):
    images, labels = cifar10.load_split('train')
    return cifar10.training_batches(
        images[:TRAIN_IMAGES], labels[:TRAIN_IMAGES], batch_size, 32, seed, first_step, input_context)

  def evaluation_batches(self, batch_size, input_context=None):
    images, labels = cifar10.load_split('test')
    return cifar10.evaluation_batches(images[:TEST_IMAGES], labels[:TEST_IMAGES], batch_size, input_context)


def run(model_dir, strategy, norm_act, synchronized=None, **options):
  """Trains four steps; returns the results."""
  arguments = dict(
      batch_size=12, eval_batch_size=4, epochs=2, weight_decay=1e-3, steps_per_loop=2,
      norm_act_options={} if synchronized is None else {'synchronized': synchronized})
  return classification.run_classification(
      str(model_dir), 'train_and_eval', norm_act, ResNet(depth=8, width_multiplier=.25, small_images=True), TinyData(),
      Optimization(1., options={'momentum': .9}), strategy=strategy, console=Console(file=io.StringIO()),
      **(arguments | options))


def weights(model_dir):
  """The tensors of the newest checkpoint, without counters of saves."""
  reader = tf.train.load_checkpoint(str(model_dir))
  names = [n for n in reader.get_variable_to_shape_map() if n.endswith('VARIABLE_VALUE') and 'save_counter' not in n]
  return {name: reader.get_tensor(name) for name in names}


def greatest_difference(actual, expected):
  assert actual.keys() == expected.keys()
  return max(np.abs(actual[name] - expected[name]).max() for name in expected)


@pytest.mark.parametrize('norm_act, synchronized', [('evonorm_s0', None), ('evonorm_b0', True), ('bn_relu', True)])
def test_two_replicas_train_as_one_device(tmp_path, norm_act, synchronized):
  single = run(tmp_path / 'single', 'one_device', norm_act, synchronized)
  double = run(tmp_path / 'double', 'mirrored', norm_act, synchronized)
  assert greatest_difference(weights(tmp_path / 'double'), weights(tmp_path / 'single')) < 1e-5
  assert double['accuracy'] == single['accuracy']
  np.testing.assert_allclose(double['validation_loss'], single['validation_loss'], rtol=1e-5)
