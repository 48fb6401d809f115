"""SavedModels of a layer with a gradient of its own."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf import get_norm_act
from evonorm_tf.layers.norm_act import NORM_ACTS
from evonorm_tf.training import saved_models

NAMES = [name for name in NORM_ACTS if name.startswith('evonorm')]
X = np.random.default_rng(0).normal(size=[2, 4, 4, 32]).astype(np.float32)


class Module(tf.Module):

  def __init__(self, name):
    super().__init__()
    layer = get_norm_act(name)()
    layer.build([None, 4, 4, 32])
    self.weights = layer.variables
    self._layer = [layer].__getitem__  # a function, which is not saved

  @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 32])])
  def infer(self, x):
    return saved_models.without_gradients({'y': self._layer(0)(x, training=False)})


@pytest.mark.parametrize('name', NAMES)
def test_a_loaded_layer_has_the_same_output_and_no_gradient_and_warns_of_nothing(tmp_path, caplog, name):
  module = Module(name)
  saved_models.save(module, str(tmp_path), {'serving_default': module.infer})
  caplog.clear()
  loaded = tf.saved_model.load(tmp_path)
  assert not caplog.records and len(loaded.weights) == len(module.weights)
  np.testing.assert_allclose(loaded.infer(X)['y'], module.infer(X)['y'], rtol=1e-5, atol=1e-6)
  with pytest.raises(LookupError, match='has no gradients'), tf.GradientTape() as tape:
    tape.gradient(loaded.infer(X)['y'], loaded.weights[0])
