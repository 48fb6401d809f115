"""Batches are filled up to one size and number."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.classification.task import full_batches

IMAGES = np.arange(5 * 2 * 3 * 1, dtype=np.float32).reshape(5, 2, 3, 1) + 1


@pytest.mark.parametrize('size, count', [(2, 3), (2, 5), (5, 1), (8, 1), (8, 2)])
def test_images_come_in_order_and_the_rest_is_marked(size, count):
  batches = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(5, dtype=np.int32))).batch(size)
  full = full_batches(batches, size, count)
  assert full.element_spec == (tf.TensorSpec([size, 2, 3, 1], tf.float32), tf.TensorSpec([size], tf.int32))
  images, labels = (np.concatenate(parts) for parts in zip(*full.as_numpy_iterator(), strict=True))
  rest = size * count - 5
  np.testing.assert_array_equal(labels, [*range(5), *[-1] * rest])
  np.testing.assert_array_equal(images, np.concatenate([IMAGES, np.zeros((rest, 2, 3, 1))]))
