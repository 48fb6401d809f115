"""Weights go from a tf_keras model to the same Keras 3 model and back, by array and by file."""

import functools

import keras
import numpy as np
import pytest
import tf_keras

import evonorm_tf
from evonorm_tf import keras3
from search.graphs.known_graphs import known_graph

SPECS = (*keras3.NORM_ACTS, known_graph('bn_silu'))
FACTORIES = {tf_keras: evonorm_tf.get_norm_act, keras: keras3.get_norm_act}
PAIRS = ((tf_keras, keras), (keras, tf_keras))
IMAGES = np.random.default_rng(0).normal(.3, 1.2, (4, 6, 6, 3)).astype(np.float32)


@functools.cache
def make_model(module):
  """Each layer after a convolution, in a block of its own; an affine form; and layers of Keras."""
  layers, get = module.layers, FACTORIES[module]
  inner = features = module.Input((None, None, 4))
  for spec in SPECS:
    features = get(spec)()(layers.Conv2D(4, 1)(features))
  inputs = module.Input((6, 6, 3))
  x = get('evonorm_s0', groups=2)()(layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs)))
  x = get('evonorm_b0')(nonlinearity=False)(module.Model(inner, features)(x))
  return module.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def make_subclassed_model(module):
  """The layers as attributes, one of them in a list."""

  class Model(module.Model):

    def __init__(self):
      super().__init__()
      self.stem = module.layers.Conv2D(4, 3)
      self.norm_act = FACTORIES[module]('evonorm_b0')()
      self.blocks = [module.layers.Conv2D(4, 3), FACTORIES[module]('evonorm_s0', groups=2)()]

    def call(self, x, training=None):
      x = self.norm_act(self.stem(x), training=training)
      for block in self.blocks:
        x = block(x)
      return x

  model = Model()
  model(IMAGES)
  return model


def make_pair(make, source, target):
  """The models, whose weights are other random positive numbers."""
  models = make(source), make(target)
  for seed, model in enumerate(models):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(.5, 1.5, w.shape) for w in model.get_weights()])
  return models


def assert_equal(source, target):
  """Every weight, and that it stands in its place."""
  for t, s in zip(target.get_weights(), source.get_weights(), strict=True):
    np.testing.assert_array_equal(t, s)
  np.testing.assert_allclose(target(IMAGES), source(IMAGES), rtol=1e-4)


@pytest.mark.parametrize('source,target', PAIRS, ids=['to Keras 3', 'to tf_keras'])
def test_arrays(source, target):
  source, target = make_pair(make_model, source, target)
  target.set_weights(source.get_weights())
  assert_equal(source, target)


@pytest.mark.parametrize('source,target,save,file', [
    *((*pair, save, file) for pair in PAIRS for save, file in (
        ('save_weights', 'model.weights.h5'), ('save', 'model.keras'), ('save', 'model.h5'))),
    (tf_keras, keras, 'save_weights', 'model.h5')], ids=lambda value: getattr(value, '__name__', value))
def test_files(source, target, save, file, tmp_path):
  source, target = make_pair(make_model, source, target)
  for model in (source, target):  # a file also holds the optimizer's state, which the other does not take
    model.compile('adam', 'mse')
  source.optimizer.build(source.trainable_variables)
  getattr(source, save)(str(tmp_path / file))
  target.load_weights(str(tmp_path / file))
  assert_equal(source, target)


@pytest.mark.parametrize('source,target', PAIRS, ids=['to Keras 3', 'to tf_keras'])
def test_files_of_a_subclassed_model(source, target, tmp_path):
  save = {tf_keras: 'save_weights', keras: 'save'}[source]
  source, target = make_pair(make_subclassed_model, source, target)
  getattr(source, save)(str(tmp_path / 'model.h5'))
  target.load_weights(str(tmp_path / 'model.h5'))
  assert_equal(source, target)
