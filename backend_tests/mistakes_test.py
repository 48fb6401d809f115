"""What a newcomer gets wrong, and is told."""

import keras
import numpy as np
import pytest

import evonorm_tf
from evonorm_tf import keras3


@pytest.mark.skipif(keras.backend.backend() == 'tensorflow', reason='TensorFlow is there')
def test_the_other_face_without_tensorflow():
  with pytest.raises(ImportError, match='`evonorm_tf.EvoNormS0` needs tensorflow, .* use `evonorm_tf.keras3`'):
    evonorm_tf.EvoNormS0  # noqa: B018


def test_images_are_channels_last():
  keras.config.set_image_data_format('channels_first')
  try:
    with pytest.raises(ValueError, match='Images must be channels last: .* found channels_first'):
      keras3.build_resnet(keras3.get_norm_act('evonorm_s0'), depth=8, input_shape=(3, 32, 32))
  finally:
    keras.config.set_image_data_format('channels_last')


def test_a_model_takes_a_factory_or_a_name():
  with pytest.raises(ValueError, match='`norm_act` must be a callable that returns a fresh layer, .* received'):
    keras3.build_resnet(keras3.EvoNormS0(), depth=8)
  with pytest.raises(ValueError, match="received 'evonorm_s9'"):
    keras3.build_resnet('evonorm_s9', depth=8)
  model = keras3.build_resnet('EvoNormS0', depth=8, width_multiplier=.5, num_classes=3)
  assert any(isinstance(layer, keras3.EvoNormS0) for layer in model.layers)


def test_factory_class_and_layer():
  x = np.ones((2, 3, 3, 8), 'float32')
  with pytest.raises(TypeError, match=r'factory of layers: call the layer that it returns, `norm_act\(\)\(x\)`'):
    keras3.get_norm_act('evonorm_s0')(x)
  with pytest.raises(ValueError, match=r'make the layer first, and then call it, `EvoNormS0\(\)\(x\)`'):
    keras3.EvoNormS0(x)


def test_the_face_shows_its_names_alone():
  assert {'EvoNormS0', 'build_resnet', 'convert_norm_act', 'norm_act_names'} <= set(dir(keras3)) == set(keras3.__all__)
  assert not [name for name in dir(keras3) if name.startswith('_') or name in ('functools', 'Any', 'factory_for')]
  assert all(getattr(keras3, name).__doc__ for name in dir(keras3) if callable(getattr(keras3, name)))
