"""Tests that hold for every model: sizes, gradients, a training step, inference, initial values, mixed precision."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models import efficientnet
from evonorm_tf.models import mnasnet
from evonorm_tf.models import mobilenet
from evonorm_tf.models import resnet

BUILDERS = {
    'resnet14': functools.partial(resnet.build_resnet, depth=14, width_multiplier=0.5),
    'resnet50': functools.partial(resnet.build_resnet, width_multiplier=0.125, depth_multiplier=0.1, small_images=True),
    'mobilenet_v2': functools.partial(
        mobilenet.build_mobilenet_v2, width_multiplier=0.25, depth_multiplier=0.25, head_channels=64,
        small_images=True),
    'mnasnet_b1': functools.partial(
        mnasnet.build_mnasnet_b1, width_multiplier=0.25, depth_multiplier=0.25, head_channels=64, small_images=True),
    'efficientnet': functools.partial(
        efficientnet.build_efficientnet, width_multiplier=0.25, depth_multiplier=0.25, small_images=True),
}


def every_model(*slow):
  """A test of each model by its name; the slow ones are of families of which another is quick."""
  return pytest.mark.parametrize('name', [
      pytest.param(name, marks=[pytest.mark.slow] * (name in slow)) for name in BUILDERS])


batch_norm_relu = get_norm_act('bn_relu')


def build(name, **kwargs):
  tf_keras.utils.set_random_seed(0)
  return BUILDERS[name](batch_norm_relu, num_classes=10, **kwargs)


@pytest.fixture(scope='module', params=BUILDERS)
def untrained_model(request):
  return build(request.param)


def images(*shape):
  return np.random.default_rng(0).normal(size=shape).astype('float32')


def test_takes_every_size_and_repeats_itself_at_inference(untrained_model):
  for shape in ((2, 32, 32, 3), (1, 37, 23, 3), (1, 1, 1, 3)):
    logits = untrained_model(images(*shape))
    assert logits.shape == (shape[0], 10) and np.isfinite(logits).all()
    np.testing.assert_array_equal(logits, untrained_model(images(*shape)))


def test_logits_are_not_probabilities(untrained_model):
  logits = untrained_model(images(8, 32, 32, 3)).numpy()
  assert logits.min() < 0.
  assert not np.allclose(logits.sum(-1), 1., atol=1e-2)


@every_model('mnasnet_b1')
def test_training_reaches_every_weight_and_lowers_the_loss(name):
  model = build(name)
  for layer in model.layers:
    if isinstance(layer, tf_keras.layers.Dropout):
      layer.rate = 0.  # so that the losses before and after are those of the same network
  x, labels = images(8, 16, 16, 3), np.arange(8)
  losses = []
  for _ in range(2):
    with tf.GradientTape() as tape:
      loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(x, training=True)))
    losses.append(float(loss))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(g is not None for g in gradients)
    assert all(np.any(g.numpy() != 0.) for g in gradients if g.shape.rank == 4)
    for variable, gradient in zip(model.trainable_variables, gradients):
      variable.assign_sub(0.01 * gradient)
  assert losses[1] < losses[0]


def test_no_two_kernels_start_alike(untrained_model):
  kernels = [v.numpy().ravel()[:20].tobytes() for v in untrained_model.trainable_variables if v.shape.rank == 4]
  assert len(kernels) > 10 and len(set(kernels)) == len(kernels)


@every_model('resnet50', 'mobilenet_v2', 'mnasnet_b1')
def test_logits_are_float32_under_mixed_precision(name):
  tf_keras.mixed_precision.set_global_policy('mixed_bfloat16')
  try:
    model = build(name)
  finally:
    tf_keras.mixed_precision.set_global_policy('float32')
  assert model.get_layer('stem_conv').compute_dtype == 'bfloat16'
  assert model(images(2, 8, 8, 3)).dtype == tf.float32
