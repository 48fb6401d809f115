"""Images for GANs: range, order, flips and crops against NumPy, on real CIFAR-10 and generated JPEGs."""

import numpy as np
import pytest

from evonorm_tf.data import cifar10
from gan.data import Cifar10
from gan.data import ImageNet
from tests.evonorm_tf import tiny_imagenet


def first(dataset):
  return [values.numpy() for values in next(iter(dataset))]


def test_cifar10_is_scaled_and_flipped_and_nothing_else():
  images, labels = first(Cifar10().training_batches(64, seed=1))
  assert images.dtype == np.float32 and images.shape == (64, 32, 32, 3)
  pixels, all_labels = cifar10.load_split('train')
  known = {pixels[i].tobytes(): all_labels[i] for i in range(len(pixels))}
  back = np.round((images + 1) * 127.5).astype(np.uint8)
  np.testing.assert_allclose((images + 1) * 127.5, back, atol=1e-4)
  flipped = 0
  for image, label in zip(back, labels):
    mirrored = np.ascontiguousarray(image[:, ::-1])
    assert (known.get(image.tobytes(), None) == label) or (known.get(mirrored.tobytes(), None) == label)
    flipped += image.tobytes() not in known
  assert 16 < flipped < 48


def test_cifar10_batches_follow_from_seed_and_step():
  data = Cifar10()
  batches = [first(data.training_batches(8, 1, step))[0] for step in (0, 1)]
  np.testing.assert_array_equal(list(data.training_batches(8, 1).take(2).as_numpy_iterator())[1][0], batches[1])
  assert not np.array_equal(batches[0], first(data.training_batches(8, 2))[0])


def test_real_images_of_cifar10_are_all_once():
  batches = list(Cifar10().real_images(700).as_numpy_iterator())
  assert [len(batch) for batch in batches] == [700] * 7 + [100]
  assert np.abs(np.concatenate(batches) - (cifar10.load_split('train')[0] / 127.5 - 1)).max() < 1e-6


def test_names_tell_data_sets_apart():
  options = dict(image_size=16, train_files='folder/train-*')
  names = {Cifar10().name, ImageNet(**options).name, ImageNet(**options | {'image_size': 32}).name,
           ImageNet(**options | {'train_images': 10}).name, ImageNet(**options | {'train_files': 'other/train-*'}).name,
           ImageNet(**options | {'train_files': 'another/folder/train-*'}).name,
           ImageNet(**options | {'train_files': 'folder/other-*'}).name}
  assert len(names) == 7 and Cifar10().name == 'cifar10_train_5000'


@pytest.fixture(scope='module')
def pixels():
  return [tiny_imagenet.photograph(seed, height=40, width=50) for seed in range(6)]


@pytest.fixture(scope='module')
def files(tmp_path_factory, pixels):
  records = [tiny_imagenet.example(tiny_imagenet.encode(image, 'PNG'), number % 3 + 1)
             for number, image in enumerate(pixels)]
  return tiny_imagenet.write_records(tmp_path_factory.mktemp('imagenet'), 'train', records)


def imagenet(files, **options):
  return ImageNet(**dict(image_size=20, train_files=files, num_classes=3, train_images=6, shuffle_buffer=4) | options)


def central_squares(pixels):
  """40×40 pixels of the middle, halved: with antialiasing, bilinear weights 1, 3, 3, 1 of four neighbours."""
  square = np.stack(pixels)[:, :, 5:45].astype(np.float64)
  for axis in (1, 2):
    padded = np.concatenate([square.take([0], axis), square, square.take([-1], axis)], axis)
    parts = [padded.take(range(k, k + 39, 2), axis) for k in range(4)]
    square = (parts[0] + 3 * parts[1] + 3 * parts[2] + parts[3]) / 8
  return square / 127.5 - 1


def test_imagenet_is_the_central_square_of_each_image(files, pixels):
  data = imagenet(files)
  data.check()  # of the training images alone, for there are no others
  real = np.concatenate(list(data.real_images(4).as_numpy_iterator()))
  expected = central_squares(pixels)
  inner = np.s_[:, 1:-1, 1:-1]  # at the border TensorFlow takes three neighbours
  for image in real[inner]:
    assert np.abs(expected[inner] - image).max((1, 2, 3)).min() < 1e-4
  assert len(real) == 6 and real.min() >= -1 and real.max() <= 1


def test_training_images_of_imagenet_are_these_or_their_mirror_images(files):
  data = imagenet(files)
  real = np.concatenate(list(data.real_images(6).as_numpy_iterator()))
  images = np.concatenate([i for i, _ in data.training_batches(6, seed=0).take(4).as_numpy_iterator()])
  is_plain = [np.abs(real - image).max((1, 2, 3)).min() < 1e-4 for image in images]
  is_mirrored = [np.abs(real - image[:, ::-1]).max((1, 2, 3)).min() < 1e-4 for image in images]
  assert all(a != b for a, b in zip(is_plain, is_mirrored)) and 4 < sum(is_plain) < 20


def test_random_crops_show_parts(files):
  images, labels = first(imagenet(files, random_crops=.3).training_batches(6, seed=0))
  real = np.concatenate(list(imagenet(files).real_images(6).as_numpy_iterator()))
  assert images.shape == (6, 20, 20, 3) and set(labels) <= {0, 1, 2}
  assert all(np.abs(real - image).max((1, 2, 3)).min() > .05 for image in images)


@pytest.mark.parametrize('options, message', [
    (dict(random_crops=1.5), '`random_crops`'), (dict(image_size=0), '`image_size`'),
    (dict(resize_method='cubic'), '`resize_method`')])
def test_bad_arguments(options, message):
  with pytest.raises(ValueError, match=message):
    imagenet('none', **options)


def test_missing_files_are_told():
  with pytest.raises(ValueError, match='`train_files` must match'):
    imagenet('/nowhere/train-*').check()
