"""Tests of ImageNet's augmentation: distributions against Model Garden's, cutout in NumPy, draws by the seed."""

import functools

import numpy as np
from official.vision.ops import augment
from official.vision.ops import preprocess_ops
import pytest
import tensorflow as tf

from evonorm_tf.data import imagenet_augmentation
from tests.evonorm_tf import tiny_imagenet

SIZE = 48
PHOTOGRAPH = tiny_imagenet.photograph(1, SIZE, SIZE)


def seeds(count):
  return tf.stack([tf.range(count), tf.zeros(count, tf.int32)], 1)


def for_seeds(function, count):
  """Returns the results of a function of a seed, computed in a graph."""
  return tf.data.Dataset.from_tensor_slices(seeds(count)).map(function).as_numpy_iterator()


def ramps(height=60, width=100):
  """Returns a JPEG whose first two channels tell the row and the column."""
  rows, columns = np.mgrid[:height, :width]
  image = np.stack([rows * 2, columns * 2, np.full_like(rows, 100)], -1).astype(np.uint8)
  return tf.io.encode_jpeg(image, quality=100, chroma_downsampling=False)


def windows(crops):
  """Returns heights, widths, tops and lefts of crops of `ramps`, the last two from the channels' means."""
  sizes, centres = np.array([[crop.shape[:2], crop[..., :2].mean((0, 1)) / 2] for crop in crops]).transpose(1, 2, 0)
  return np.concatenate([sizes, centres - (sizes - 1) / 2])


@pytest.mark.parametrize('area', [(.08, 1.), (.3, .6)])
def test_crops_are_distributed_as_model_gardens(area):
  count = 2000
  ours = windows(for_seeds(functools.partial(imagenet_augmentation.random_crop, ramps(), area), count))
  tf.random.set_seed(0)
  theirs = windows(tf.data.Dataset.range(count).map(
      lambda _: preprocess_ops.random_crop_image_v2(ramps(), [60, 100, 3], area_range=area)).as_numpy_iterator())
  # Those that found no window: Model Garden's parser compares sizes and takes the centre; the same is done here.
  whole = np.all(theirs[:2] == [[60], [100]], 0)
  theirs[:, whole] = np.array([[52, 52, 3, 23]]).T
  for name, a, b in zip(('height', 'width', 'top', 'left'), ours, theirs):
    error = np.hypot(a.std(), b.std()) / np.sqrt(count)
    assert abs(a.mean() - b.mean()) < 4 * error, name
    assert abs(a.std() / b.std() - 1) < .1, name
  found = ~((ours[0] == 52) & (ours[1] == 52))
  share = ours[0, found] * ours[1, found] / 6000
  assert area[0] * .9 < share.min() < area[0] * 1.2 and area[1] * .7 < share.max() <= area[1] * 1.1
  aspect = ours[1, found] / ours[0, found]
  assert 3 / 4 * .9 < aspect.min() and aspect.max() < 4 / 3 * 1.1


def test_crops_hold_the_pixels_of_their_window():
  whole = tf.io.decode_jpeg(ramps()).numpy()
  for crop in for_seeds(functools.partial(imagenet_augmentation.random_crop, ramps(), (.08, 1.)), 20):
    places = np.lib.stride_tricks.sliding_window_view(whole, crop.shape)[..., 0, :, :, :]
    assert (places == crop).all((2, 3, 4)).any()


def test_where_no_window_is_found_the_crop_is_that_of_evaluation():
  long = tf.io.encode_jpeg(tiny_imagenet.photograph(2, 20, 200))
  crop = imagenet_augmentation.random_crop(long, (.9, 1.), [0, 0])
  np.testing.assert_array_equal(crop, preprocess_ops.center_crop_image_v2(long, [20, 200, 3]))


@pytest.mark.parametrize('file_format, mode, tolerance', [
    ('PNG', 'RGB', 0), ('PNG', 'RGBA', 0), ('BMP', 'RGB', 0), ('JPEG', 'RGB', 8), ('JPEG', 'CMYK', 8)])
def test_images_of_other_formats_are_read(file_format, mode, tolerance):
  encoded = tiny_imagenet.encode(PHOTOGRAPH, file_format, mode)
  image = imagenet_augmentation.decode_image(encoded).numpy()
  assert np.mean(np.abs(image.astype(int) - PHOTOGRAPH)) <= tolerance
  jpeg = tf.io.encode_jpeg(PHOTOGRAPH, quality=100)
  crop, expected = (imagenet_augmentation.random_crop(it, (.08, 1.), [3, 4]).numpy() for it in (encoded, jpeg))
  assert crop.shape == expected.shape
  assert np.mean(np.abs(crop.astype(int) - expected)) < 10


def test_grey_images_get_three_equal_channels():
  image = imagenet_augmentation.decode_image(tiny_imagenet.encode(PHOTOGRAPH, mode='L')).numpy()
  assert image.shape == (SIZE, SIZE, 3) and np.ptp(image, -1).max() == 0


def test_cutout_greys_a_square_around_a_random_pixel():
  image = np.zeros((9, 14, 3), np.uint8)
  possible = {}
  for row in range(9):
    for column in range(14):
      cut = image.copy()
      cut[max(0, row - 3):row + 3, max(0, column - 3):column + 3] = 128
      possible[cut.tobytes()] = row, column
  drawn = [cut.tobytes() for cut in for_seeds(functools.partial(imagenet_augmentation.cutout, image, 3), 2000)]
  assert set(drawn) == set(possible)  # and no other


def policy(layers, operations):
  result = augment.RandAugment(layers, magnitude=6.)
  result.available_ops = operations
  return result


def rand_augment(operations, count, image=PHOTOGRAPH, layers=1):
  function = functools.partial(
      imagenet_augmentation.rand_augment, tf.constant(image, tf.float32), policy(layers, operations))
  return list(for_seeds(function, count))


def test_every_operation_and_none_of_randaugment_are_equally_likely():
  operations = ['Invert', 'AutoContrast', 'Solarize']
  expected = [PHOTOGRAPH, 255 - PHOTOGRAPH, *(augment.NAME_TO_FUNC[name](tf.constant(PHOTOGRAPH), *arguments).numpy()
                                              for name, arguments in [('AutoContrast', ()), ('Solarize', (153,))])]
  counts = np.zeros(4)
  for image in rand_augment(operations, 2000):
    hits = [np.array_equal(image, it) for it in expected]
    assert any(hits)
    counts[hits.index(True)] += 1
  # Pearson's statistic of three degrees of freedom exceeds 16 once in a thousand.
  assert ((counts - 500)**2 / 500).sum() < 16


@pytest.mark.parametrize('name, argument', [
    ('Rotate', 18.), ('ShearX', .18), ('ShearY', .18), ('TranslateX', 60.), ('TranslateY', 60.)])
def test_signs_are_drawn_from_the_seed(name, argument):
  image = tiny_imagenet.photograph(1, 80, 80)
  signed = [augment.NAME_TO_FUNC[name](tf.constant(image), sign * argument, [128] * 3).numpy() for sign in (1, -1)]
  counts = np.zeros(3)
  for result in rand_augment([name], 200, image):
    hits = [np.array_equal(result, it) for it in (image, *signed)]
    assert any(hits)
    counts[hits.index(True)] += 1
  assert abs(counts[0] - 100) < 30 and min(counts[1:]) > 25 and counts.sum() == 200


@pytest.mark.parametrize('name', augment.RandAugment().available_ops)
def test_each_operation_runs_on_images_of_static_shape_and_repeats(name):
  first, again = (rand_augment([name], 6) for _ in range(2))
  np.testing.assert_array_equal(first, again)
  assert any(not np.array_equal(image, PHOTOGRAPH) for image in first)
  for image in first:
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 255 and np.array_equal(image, np.round(image))


def test_layers_follow_each_other():
  inverted = [np.array_equal(image, 255. - PHOTOGRAPH) for image in rand_augment(['Invert'] * 3, 400, layers=2)]
  # One of two layers inverts: 2 · ¼ · ¾; both undo each other.
  assert abs(np.mean(inverted) - .375) < 4 * np.sqrt(.375 * .625 / 400)


def test_values_outside_of_a_byte_are_clipped():
  image = tf.constant([[[-3., 260., 7.9]]])
  actual = imagenet_augmentation.rand_augment(image, policy(1, ['Invert']), [0, 0]).numpy().ravel().tolist()
  assert actual in ([0., 255., 7.], [255., 0., 248.])
