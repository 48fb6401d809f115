"""The models of keras.applications in both Keras: what a conversion replaces, counted, and that the result trains."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

import evonorm_tf
from evonorm_tf import keras3

PACKAGES = {'tf_keras': evonorm_tf, 'keras': keras3}
# Model -> the batch normalizations that become fused layers, those that become affine forms, and activations left.
# ResNet50V2 has three normalizations in each of its 16 blocks and one at its end, each before a ReLU. The projections
# of the others normalize without activating: 17 in MobileNetV2, 11 in MobileNetV3Small, 20 in EfficientNetV2B0, whose
# first block has none. Left in MobileNetV3Small are two activations of each of 9 gates, that of the convolution behind
# the last normalization, and the softmax; elsewhere they belong to convolutions or dense layers.
COUNTS = {
    'ResNet50V2': (49, 0, 0),
    'MobileNetV2': (35, 17, 0),
    'MobileNetV3Small': (23, 11, 20),
    'EfficientNetV2B0': (39, 20, 0),
}
SLOW_IN_KERAS_3 = ('MobileNetV2', 'ResNet50V2')


def build(keras_name, name):
  applications = importlib.import_module(f'{keras_name}.applications')
  return getattr(applications, name)(weights=None, input_shape=(32, 32, 3), classes=3)


# The code is one for both Keras: quick tests build each model in one of them.
@pytest.mark.parametrize('name, keras_name', [
    pytest.param(name, keras_name, marks=[pytest.mark.slow] * ((keras_name == 'keras') == (name in SLOW_IN_KERAS_3)))
    for name in COUNTS for keras_name in PACKAGES])
def test_what_is_replaced(name, keras_name):
  package, model = PACKAGES[keras_name], build(keras_name, name)
  plan = package.plan_conversion(model)
  assert (len(plan.fused), len(plan.affine), len(plan.left)) == COUNTS[name]
  norms = [layer for layer in model.layers if type(layer).__name__ == 'BatchNormalization']
  assert len(norms) == len(plan.fused) + len(plan.affine)
  converted = package.convert_norm_act(model, 'evonorm_s0')
  assert not [layer for layer in converted.layers if type(layer).__name__ == 'BatchNormalization']
  found = [layer for layer in converted.layers if isinstance(layer, package.EvoNormS0)]
  assert [layer.nonlinearity for layer in found].count(True) == len(plan.fused) and len(found) == len(norms)


@pytest.mark.parametrize('keras_name', [
    pytest.param(name, marks=[pytest.mark.slow] * (name == 'keras')) for name in PACKAGES])
def test_bn_relu_computes_what_the_model_computed(keras_name):
  model = build(keras_name, 'ResNet50V2')  # all of whose activations are ReLU
  rng = np.random.default_rng(0)
  model.set_weights([w + .1 * np.abs(rng.normal(size=w.shape)) if w.ndim == 1 else w for w in model.get_weights()])
  converted = PACKAGES[keras_name].convert_norm_act(model, 'bn_relu')
  x = tf.constant(rng.normal(size=(2, 32, 32, 3)), 'float32')
  np.testing.assert_allclose(converted(x), model(x), rtol=1e-4, atol=1e-6)
