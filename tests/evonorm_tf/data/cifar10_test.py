"""Tests of the CIFAR-10 loading, its bundled subset and the input pipelines."""

import itertools
import os
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from evonorm_tf.data import cifar10
from evonorm_tf.data import draw_cifar10_subset
from evonorm_tf.data import image_batches
from evonorm_tf.data.tfds import import_tfds

FULL_DATA_DIR = pathlib.Path(__file__).parents[3].parent / 'shared' / 'data' / 'tfds'
needs_full_set = pytest.mark.skipif(not FULL_DATA_DIR.is_dir(), reason='needs the whole of CIFAR-10')


def random_images(count, size, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, size, size, 3), np.uint8), np.arange(count) % 10


def take(dataset, batches):
  return [(x.numpy(), y.numpy()) for x, y in dataset.take(batches)]


def subset_builder():
  return tfds.builder_from_directory(
      cifar10.BUNDLED_DATA_DIR / cifar10.SUBSET_NAME / cifar10.SUBSET_VERSION)


def find_window(crop, image):
  """Returns all (mirrored, top, left) for which `crop` is that window of `image` or of its mirrored form."""
  size = crop.shape[0]
  margin = image.shape[0] - size + 1
  return [(mirrored, top, left) for mirrored, top, left in itertools.product((0, 1), range(margin), range(margin))
          if np.allclose(image[top:top + size, left:left + size][:, ::-1 if mirrored else 1], crop, atol=1e-5)]


@pytest.mark.parametrize('split, per_class', [('train', 500), ('test', 100)])
def test_subset_is_balanced(split, per_class):
  images, labels = cifar10.load_split(split)
  assert images.shape == (10 * per_class, 32, 32, 3) and images.dtype == np.uint8
  np.testing.assert_array_equal(np.bincount(labels), [per_class] * 10)
  assert cifar10.load_split(split)[0] is images
  with pytest.raises(ValueError, match='read-only'):
    images[0] = 0


def test_subset_describes_itself():
  info = subset_builder().info
  assert tuple(info.features['label'].names) == cifar10.LABEL_NAMES
  assert set(info.features) == {'id', 'image', 'label'} and info.supervised_keys == ('image', 'label')
  assert 'Krizhevsky' in info.citation


def test_training_and_test_images_do_not_overlap():
  images = [{image.tobytes() for image in cifar10.load_split(split)[0]} for split in ('train', 'test')]
  assert [len(s) for s in images] == [5000, 1000] and not images[0] & images[1]


@needs_full_set
def test_subset_equals_members_of_the_full_set():
  full_images, full_labels = cifar10.load_split('test', str(FULL_DATA_DIR))
  np.testing.assert_array_equal(np.bincount(full_labels), [1000] * 10)
  label_of = {image.tobytes(): label for image, label in zip(full_images, full_labels)}
  images, labels = cifar10.load_split('test')
  assert [label_of[image.tobytes()] for image in images] == labels.tolist()


@needs_full_set
@pytest.mark.slow
def test_full_training_set_and_channel_statistics():
  full_images, full_labels = cifar10.load_split('train', str(FULL_DATA_DIR))
  np.testing.assert_array_equal(np.bincount(full_labels), [5000] * 10)
  pixels = full_images.reshape(-1, 3)
  np.testing.assert_allclose(pixels.mean(0), cifar10.CHANNEL_MEANS, rtol=1e-4)
  np.testing.assert_allclose(pixels.std(0), cifar10.CHANNEL_STDS, rtol=1e-4)
  label_of = {image.tobytes(): label for image, label in zip(full_images, full_labels)}
  images, labels = cifar10.load_split('train')
  assert [label_of[image.tobytes()] for image in images] == labels.tolist()


def test_write_subset_draws_balanced_members_by_seed(tmp_path):
  def draw(name, seed):
    draw_cifar10_subset.write_subset(tfds, subset_builder(), tmp_path / name, {'train': 30, 'test': 10}, seed)
    builder = tfds.builder_from_directory(tmp_path / name / cifar10.SUBSET_NAME / cifar10.SUBSET_VERSION)
    return tfds.as_numpy(builder.as_dataset(split='train', batch_size=-1, shuffle_files=False))

  drawn, again, other = draw('a', 1), draw('b', 1), draw('c', 2)
  np.testing.assert_array_equal(drawn['image'], again['image'])
  assert set(drawn['id']) != set(other['id'])
  np.testing.assert_array_equal(np.bincount(drawn['label']), [3] * 10)
  members = {image.tobytes() for image in cifar10.load_split('train')[0]}
  assert {image.tobytes() for image in drawn['image']} <= members


def test_load_split_errors(tmp_path, monkeypatch):
  with pytest.raises(ValueError, match="`split` must be 'train' or 'test', received 'validation'"):
    cifar10.load_split('validation')
  garbage = tmp_path / 'cifar10' / '3.0.2' / 'dataset_info.json'
  garbage.parent.mkdir(parents=True)
  garbage.write_text('garbage')
  with pytest.raises(ValueError, match='`data_dir` must be a TFDS folder(.|\n)*JSON(.|\n)*data_dir=None'):
    cifar10.load_split('train', str(tmp_path))

  def no_network(self, **kwargs):
    raise ConnectionError('no network')

  monkeypatch.setattr(tfds.core.DatasetBuilder, 'download_and_prepare', no_network)
  with pytest.raises(ValueError, match='`data_dir` must be an existing folder, received .*misspelt'):
    cifar10.load_split('train', str(tmp_path / 'misspelt'))
  missing = str(tmp_path / 'missing')
  os.mkdir(missing)
  with pytest.raises(ValueError, match=f"Looked for '{missing}/cifar10'.*ConnectionError: no network.*bundled"):
    cifar10.load_split('train', missing)


def test_without_tensorflow_datasets_the_error_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[data\]'"):
    import_tfds()


def test_validation_split_is_disjoint_balanced_and_seeded():
  labels = np.random.default_rng(0).permutation(np.arange(200) % 10)
  numbers = np.arange(200)
  (train, train_labels), (held_out, held_out_labels) = cifar10.train_validation_split(numbers, labels, 50, seed=1)
  np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), numbers)
  np.testing.assert_array_equal(np.bincount(held_out_labels), [5] * 10)
  np.testing.assert_array_equal(labels[train], train_labels)
  np.testing.assert_array_equal(labels[held_out], held_out_labels)
  again, other = (cifar10.train_validation_split(numbers, labels, 50, seed=s)[1][0] for s in (1, 2))
  np.testing.assert_array_equal(again, held_out)
  assert not np.array_equal(other, held_out)


@pytest.mark.parametrize('size, message', [
    (0, 'multiple of the 10 classes, received 0'), (-10, 'received -10'), (15, 'received 15'),
    (200, 'must leave training images.*received 200'), (300, 'received 300')])
def test_validation_split_errors(size, message):
  with pytest.raises(ValueError, match=f'`validation_images`.*{message}'):
    cifar10.train_validation_split(np.arange(200), np.arange(200) % 10, size, seed=0)


def test_crops_are_every_window_and_its_mirror_image_of_their_own_image():
  images, _ = random_images(4, 6)
  normalized = (images - cifar10.CHANNEL_MEANS) / cifar10.CHANNEL_STDS
  found = set()
  for crops, numbers in take(cifar10.training_batches(images, np.arange(4), 8, 4, seed=0), 150):
    for crop, number in zip(crops, numbers):
      windows = find_window(crop, normalized[number])
      assert len(windows) == 1
      found.update((number, *w) for w in windows)
  assert found == set(itertools.product(range(4), (0, 1), range(3), range(3)))


def test_training_batches_hold_every_image_once_an_epoch_in_changing_order():
  images, _ = random_images(20, 4)
  dataset = cifar10.training_batches(images, np.arange(20), 8, 4, seed=0)
  epochs = np.concatenate([numbers for _, numbers in take(dataset, 10)]).reshape(4, 20)
  np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(20), (4, 1)))
  assert len({tuple(e) for e in epochs}) == 4


def test_epochs_of_the_full_set_are_uncorrelated():
  # TensorFlow's default number of rounds gives 0.6 to 0.7 here.
  positions = tf.range(100_000, dtype=tf.int64)
  indices = image_batches._shuffled_indices(tf.constant(3, tf.int64), positions, tf.constant(50_000, tf.int64))
  first, second = np.split(indices, 2)
  assert abs(np.corrcoef(first, second)[0, 1]) < .02
  np.testing.assert_array_equal(np.sort(first), positions[:50_000])


@pytest.mark.parametrize('windows', [18, 162])
def test_windows_are_equally_likely(windows):
  """Pearson's statistic of 20,000 draws within five of its deviations, and no correlation from draw to draw."""
  seed, first = tf.constant(3, tf.int64), tf.constant(0, tf.int64)
  draws = image_batches._draw(seed, first, 20_000, windows).numpy()
  expected = 20_000 / windows
  statistic = ((np.bincount(draws, minlength=windows) - expected)**2 / expected).sum()
  assert abs(statistic - (windows - 1)) < 5 * np.sqrt(2 * (windows - 1))
  assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < .03
  np.testing.assert_array_equal(image_batches._draw(seed, first + 137, 20, windows), draws[137:157])


def context(pipeline, pipelines, replicas):
  return tf.distribute.InputContext(pipelines, pipeline, replicas)


@pytest.mark.parametrize('pipelines, replicas', [(1, 1), (1, 4), (2, 2), (2, 4)])
def test_replicas_share_the_global_batches(pipelines, replicas):
  images, _ = random_images(20, 6)
  local = replicas // pipelines
  expected = take(cifar10.training_batches(images, np.arange(20), 8, 4, seed=0), 3)
  parts = [take(cifar10.training_batches(images, np.arange(20), 8, 4, 0, 0, context(p, pipelines, replicas)), 3 * local)
           for p in range(pipelines)]
  for step in range(3):
    of_step = [part for p in parts for part in p[step * local:(step + 1) * local]]
    for actual, whole in zip(map(np.concatenate, zip(*of_step)), expected[step]):
      np.testing.assert_array_equal(actual, whole)


@pytest.mark.parametrize('replicas', [1, 2])
def test_training_goes_on_at_a_step(replicas):
  images, _ = random_images(20, 6)
  whole, rest = (
      take(cifar10.training_batches(images, np.arange(20), 8, 4, 0, step, context(0, 1, replicas)), 5 * replicas)
      for step in (0, 3))
  for (x, y), (x_again, y_again) in zip(whole[3 * replicas:], rest):
    np.testing.assert_array_equal(x, x_again)
    np.testing.assert_array_equal(y, y_again)


def test_pipelines_share_the_evaluation_images():
  images, _ = random_images(11, 4)
  shares = [take(cifar10.evaluation_batches(images, np.arange(11), 4, context(p, 2, 2)), 9) for p in (0, 1)]
  assert [[len(y) for _, y in share] for share in shares] == [[2, 2, 2], [2, 2, 1]]
  assert sorted(np.concatenate([y for share in shares for _, y in share])) == list(range(11))


def test_pad_surrounds_images_by_the_mean_colour():
  images, _ = random_images(2, 4)
  padded = cifar10.pad(images, 3)
  assert padded.shape == (2, 10, 10, 3) and padded.dtype == np.uint8
  np.testing.assert_array_equal(padded[:, 3:7, 3:7], images)
  assert np.abs(cifar10.normalize(padded[:, :3])).max() < .01


def test_training_batches_depend_on_the_seed_alone():
  images, labels = random_images(20, 6)
  first = take(cifar10.training_batches(images, labels, 8, 4, seed=5), 5)
  tf.random.set_seed(1)
  tf.random.uniform([3])
  second = take(cifar10.training_batches(tf.constant(images), tf.constant(labels), 8, 4, seed=5), 5)
  other = take(cifar10.training_batches(images, labels, 8, 4, seed=6), 5)
  for (x, y), (x_again, y_again), (x_other, _) in zip(first, second, other):
    np.testing.assert_array_equal(x, x_again)
    np.testing.assert_array_equal(y, y_again)
    assert not np.array_equal(x, x_other)


def test_permanence_of_training_batches():
  # Update when shuffling or cropping changes on purpose: results of earlier searches can then not be repeated.
  images, _ = random_images(20, 6)
  (x, y), = take(cifar10.training_batches(images, np.arange(20), 8, 4, seed=5), 1)
  assert y.tolist() == [6, 11, 12, 0, 2, 4, 10, 7]
  np.testing.assert_allclose(x[:4, 0, 0, 0], [-.7669, -1.6717, .8365, .0428], atol=1e-4)


def test_a_strategy_distributes_training_batches():
  images, labels = random_images(20, 6)
  dataset = cifar10.training_batches(images, labels, 8, 4, seed=0)
  assert [spec.shape.as_list() for spec in dataset.element_spec] == [[8, 4, 4, 3], [8]]
  strategy = tf.distribute.MirroredStrategy(['CPU:0'])
  batches = iter(strategy.experimental_distribute_dataset(dataset.take(2)))
  distributed = list(batches)[0]  # to the end: TensorFlow may crash where an iterator is dropped while it fetches
  np.testing.assert_array_equal(strategy.experimental_local_results(distributed[0])[0], take(dataset, 1)[0][0])


def test_evaluation_batches_are_normalized_whole_images_in_order():
  images, labels = random_images(10, 4)
  batches = take(cifar10.evaluation_batches(images, labels, 4), 9)
  assert [len(y) for _, y in batches] == [4, 4, 2]
  expected = (images / 255. - [.4914, .4822, .4465]) / [.2470, .2435, .2616]
  np.testing.assert_allclose(np.concatenate([x for x, _ in batches]), expected, atol=1e-3)
  np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels)


@pytest.mark.parametrize('size', [16, 8, 1, 32])
def test_downscale_averages_areas(size):
  images, _ = random_images(3, 32)
  images[0] = 255
  factor = 32 // size
  mean = images.reshape(3, size, factor, size, factor, 3).astype(np.float64).mean((2, 4))
  scaled = cifar10.downscale(images, size)
  assert scaled.dtype == np.uint8
  np.testing.assert_array_equal(scaled, np.floor(mean + .5))


@pytest.mark.parametrize('call, message', [
    (lambda x, y: cifar10.training_batches(x, y, 4, 7, 0), '`crop_size` must be from 1 to 6.*received 7'),
    (lambda x, y: cifar10.training_batches(x, y, 4, 0, 0), '`crop_size`.*received 0'),
    (lambda x, y: cifar10.training_batches(x, y, 0, 4, 0), '`batch_size` must be positive, received 0'),
    (lambda x, y: cifar10.training_batches(x[0], y, 4, 4, 0), r'`images` must be \[N, H, W, 3\], received \[6, 6, 3\]'),
    (lambda x, y: cifar10.evaluation_batches(x, y[1:], 4), r'`labels` must be \[20\].*received \[19\]'),
    (lambda x, y: cifar10.downscale(x, 4), "`size` must divide the images' height 6, received 4")])
def test_pipeline_errors(call, message):
  with pytest.raises(ValueError, match=message):
    call(*random_images(20, 6))
