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


@pytest.mark.parametrize('norm_act', ['evonorm_s0', keras3.EvoNormS0()], ids=['name', 'layer'])
def test_a_model_takes_a_factory(norm_act):
  with pytest.raises(ValueError, match='`norm_act` must be a callable that returns a fresh layer, .* received'):
    keras3.build_resnet(norm_act, depth=8)


def test_factory_class_and_layer():
  x = np.ones((2, 3, 3, 8), 'float32')
  with pytest.raises(TypeError, match=r'factory of layers: call the layer that it returns, `norm_act\(\)\(x\)`'):
    keras3.get_norm_act('evonorm_s0')(x)
  with pytest.raises(ValueError, match=r'make the layer first, and then call it, `EvoNormS0\(\)\(x\)`'):
    keras3.EvoNormS0(x)
