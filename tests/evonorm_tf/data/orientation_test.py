"""The orientation of photographs against Pillow, in files and in graphs, and files in which it cannot be read."""

import io

import numpy as np
from PIL import Image
from PIL import ImageOps
import pytest
import tensorflow as tf

from evonorm_tf.data import orientation

PIXELS = np.random.default_rng(0).integers(0, 256, [4, 6, 3], np.uint8)
IN_GRAPH = tf.function(orientation.of_jpeg, input_signature=[tf.TensorSpec([], tf.string)])


def encoded(number, kind='JPEG', **other):
  """An image file whose EXIF data have that orientation, or none, behind other entries."""
  exif = Image.Exif()
  exif[0x010f] = 'a maker of cameras'
  if number is not None:
    exif[0x0112] = number
  file = io.BytesIO()
  Image.fromarray(PIXELS).save(file, kind, exif=exif, **other)
  return file.getvalue()


@pytest.mark.parametrize('number', range(1, 9))
def test_all_orientations(number):
  for data in (encoded(number), encoded(number, progressive=True, comment=b'behind')):
    assert orientation.read(data) == number and int(IN_GRAPH(data)) == number
  assert orientation.read(encoded(number, 'PNG')) == number and int(IN_GRAPH(encoded(number, 'PNG'))) == 1
  image = Image.fromarray(PIXELS)
  image.getexif()[0x0112] = number
  expected = np.asarray(ImageOps.exif_transpose(image))
  np.testing.assert_array_equal(orientation.turn(PIXELS, number), expected)
  np.testing.assert_array_equal(tf.function(orientation.turn)(tf.constant(PIXELS), tf.constant(number)), expected)
  assert orientation.swaps_sides(number) == (expected.shape == (6, 4, 3))


def test_the_corner_that_is_first():
  """Orientation 6, of a camera held upright: the stored first row is seen at the right."""
  stored = np.zeros([2, 3, 1], np.uint8)
  stored[0] = [[1], [2], [3]]
  assert orientation.turn(stored, 6).numpy()[..., 0].tolist() == [[0, 1], [0, 2], [0, 3]]


@pytest.mark.parametrize('number', [None, 0, 9, 65535])
def test_no_orientation(number):
  assert orientation.read(encoded(number)) == 1 and int(IN_GRAPH(encoded(number))) == 1


def test_big_endian_data_behind_other_segments():
  exif = b'Exif\0\0MM\0*\0\0\0\x08' + b'\0\x01' + b'\x01\x12\0\x03\0\0\0\x01\0\x08\0\0' + b'\0\0\0\0'
  segment = b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif
  file = io.BytesIO()
  Image.fromarray(PIXELS).save(file, 'JPEG')
  data = file.getvalue()
  data = data[:2] + b'\xff\xfe\x01\0' + b'c' * 254 + segment + data[2:]
  assert orientation.read(data) == 8 and int(IN_GRAPH(data)) == 8


def test_damaged_files_have_an_orientation_of_1_or_theirs():
  data = encoded(6)
  for length in range(0, 100, 3):
    assert orientation.read(data[:length]) in (1, 6) and int(IN_GRAPH(data[:length])) in (1, 6)
  rng = np.random.default_rng(0)
  for _ in range(100):
    garbage = b'\xff\xd8\xff\xe1' + rng.bytes(60)
    assert orientation.read(garbage) == 1 and 1 <= int(IN_GRAPH(garbage)) <= 8
  assert orientation.read(b'') == 1 and int(IN_GRAPH(b'')) == 1
