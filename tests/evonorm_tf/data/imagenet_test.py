"""Tests of the batches of ImageNet against Model Garden's parser, against each other and against lists of labels."""

import collections
import logging

import numpy as np
from official.vision.dataloaders import classification_input
from official.vision.ops import augment
import pytest
import tensorflow as tf

from evonorm_tf.data import imagenet
from evonorm_tf.data import imagenet_files
from tests.evonorm_tf import tiny_imagenet

TRAIN, VALIDATION, CLASSES = 20, 11, 50


def jpegs(count, first=0):
  return [tiny_imagenet.encode(tiny_imagenet.photograph(first + i, 40 + i, 60 - i)) for i in range(count)]


def records(count, first=0, unreadable=()):
  """Returns records of JPEGs with the labels 1, 2 ... as in Model Garden's files; those of `unreadable` end early."""
  return [tiny_imagenet.example(jpeg[:200] if i in unreadable else jpeg, i + 1)
          for i, jpeg in enumerate(jpegs(count, first))]


def make(folder, unreadable=(), **kwargs):
  folder.mkdir(exist_ok=True)
  train_files = tiny_imagenet.write_records(folder, 'train', records(TRAIN, 0, unreadable))
  validation_files = tiny_imagenet.write_records(folder, 'validation', records(VALIDATION, 100, unreadable))
  return imagenet.ImageNet(**{
      'train_files': train_files, 'validation_files': validation_files, 'num_classes': CLASSES, 'train_images': TRAIN,
      'validation_images': VALIDATION, 'image_size': 24, 'shuffle_buffer': 8, **kwargs})


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return make(tmp_path_factory.mktemp('imagenet'))


@pytest.fixture(scope='module')
def damaged(tmp_path_factory):
  return make(tmp_path_factory.mktemp('imagenet'), unreadable=(2, 3, 7))


def take(dataset, batches):
  return list(dataset.take(batches).as_numpy_iterator())


@pytest.fixture(scope='module')
def global_batches(damaged):
  """The second to fifth training batch of one pipeline for one replica."""
  return take(damaged.training_batches(8, 0, 1), 4)


def context(pipeline, pipelines, replicas):
  return tf.distribute.InputContext(pipelines, pipeline, replicas)


def assert_same(actual, expected):
  assert len(actual) == len(expected)
  for (images, labels), (expected_images, expected_labels) in zip(actual, expected):
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_array_equal(images, expected_images)


@pytest.mark.parametrize('options', [{}, {'center_crop_fraction': 1., 'resize_method': 'bicubic'}])
def test_evaluation_images_are_those_of_model_gardens_parser(tmp_path, options):
  parser = classification_input.Parser(
      [24, 24], CLASSES, center_crop_fraction=options.get('center_crop_fraction', .875),
      tf_resize_method=options.get('resize_method', 'bilinear'))
  decoder = classification_input.Decoder()
  expected = {int(label) - 1: image for image, label in (
      parser.parse_fn(False)(decoder.decode(record)) for record in records(VALIDATION, 100))}
  data = make(tmp_path, **options)
  batches = take(data.evaluation_batches(4), 9)
  assert [images.shape for images, _ in batches] == [(4, 24, 24, 3), (4, 24, 24, 3), (3, 24, 24, 3)]
  for images, labels in batches:
    assert images.dtype == np.float32 and labels.dtype == np.int32
    for image, label in zip(images, labels):
      # Model Garden decodes the crop alone, whose colours at the edge differ a little.
      assert np.mean(np.abs(image - expected.pop(label))) < .02
  assert not expected


def test_preprocess_is_what_evaluation_does_in_graphs_too(data):
  serve = tf.function(data.preprocess, input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
  for image, label in zip(*(np.concatenate(it) for it in zip(*take(data.evaluation_batches(4), 9)))):
    pixels = tf.io.decode_jpeg(jpegs(VALIDATION, 100)[label])
    np.testing.assert_allclose(serve(pixels), image, atol=1e-6)
    np.testing.assert_allclose(data.preprocess(pixels.numpy()), image, atol=1e-6)


def test_every_training_image_comes_once_an_epoch(data):
  labels = np.concatenate([labels for _, labels in take(data.training_batches(8, seed=0), 10)]).reshape(4, TRAIN)
  np.testing.assert_array_equal(np.sort(labels), [np.arange(TRAIN)] * 4)
  assert len({tuple(epoch) for epoch in labels}) == 4


def test_training_images_are_changing_parts_of_their_own_image(tmp_path):
  data = make(tmp_path, crop_area=(.5, 1.))
  whole = {label: tf.image.resize(data.preprocess(tf.io.decode_jpeg(jpeg)), [3, 3], 'area').numpy()
           for label, jpeg in enumerate(jpegs(TRAIN))}
  views = collections.defaultdict(set)
  hits = []
  for images, labels in take(data.training_batches(20, seed=0), 6):
    assert images.dtype == np.float32 and images.shape == (20, 24, 24, 3)
    small = tf.image.resize(images, [3, 3], 'area').numpy()
    for image, colours, label in zip(images, small, labels):
      views[label].add(image.tobytes())
      distance = {other: min(np.abs(i - whole[other]).mean() for i in (colours, colours[:, ::-1])) for other in whole}
      hits.append(min(distance, key=distance.get) == label)
  assert all(len(images) == 6 for images in views.values())
  assert np.mean(hits) > .8  # by chance .05


def test_training_images_are_mirrored_half_of_the_time(tmp_path):
  data = make(tmp_path, crop_area=(1., 1.))  # no window covers all of these images: the crop is that of evaluation
  whole = [data.preprocess(tf.io.decode_jpeg(jpeg)) for jpeg in jpegs(TRAIN)]
  mirrored = []
  for images, labels in take(data.training_batches(20, seed=0), 10):
    for image, label in zip(images, labels):
      distances = [np.abs(it - whole[label]).mean() for it in (image, image[:, ::-1])]
      assert min(distances) < .02
      mirrored.append(np.argmin(distances))
  assert abs(np.mean(mirrored) - .5) < 4 * .5 / np.sqrt(len(mirrored))


@pytest.mark.parametrize('pipelines, replicas', [(1, 4), pytest.param(2, 4, marks=pytest.mark.slow)])
def test_replicas_share_the_global_batches(damaged, global_batches, pipelines, replicas):
  local = replicas // pipelines
  parts = [take(damaged.training_batches(8, 0, 1, context(p, pipelines, replicas)), 4 * local)
           for p in range(pipelines)]
  joined = [[np.concatenate(it) for it in zip(*(batch for part in parts for batch in part[i * local:(i + 1) * local]))]
            for i in range(4)]
  assert_same(joined, global_batches)


def test_training_goes_on_at_a_step(damaged):
  whole = take(damaged.training_batches(8, seed=3), 7)
  for step in (1, 5):
    assert_same(take(damaged.training_batches(8, 3, step), 7 - step), whole[step:])


def test_training_batches_depend_on_the_seed_alone(data):
  first = take(data.training_batches(8, seed=5), 2)
  tf.random.set_seed(1)
  assert_same(take(data.training_batches(8, seed=5), 2), first)
  assert not np.array_equal(take(data.training_batches(8, seed=6), 1)[0][0], first[0][0])


@pytest.mark.slow
def test_randaugment_changes_images_but_not_their_order(tmp_path, data, monkeypatch):
  # Fewer operations, since each is traced; imagenet_augmentation_test.py runs them all.
  init = augment.RandAugment.__init__

  def few_operations(self, *args, **kwargs):
    init(self, *args, **kwargs)
    self.available_ops = ['Invert', 'Color', 'Rotate']

  monkeypatch.setattr(augment.RandAugment, '__init__', few_operations)
  randaugment = make(tmp_path, randaugment_layers=1)
  plain, augmented, again = (take(it.training_batches(20, seed=5), 1)[0] for it in (data, randaugment, randaugment))
  assert_same([again], [augmented])
  np.testing.assert_array_equal(plain[1], augmented[1])
  differ = np.abs(plain[0] - augmented[0]).max((1, 2, 3)) > .1
  assert differ.any() and augmented[0].shape == (20, 24, 24, 3)


def test_unreadable_images_are_skipped_counted_and_replaced(damaged, caplog):
  before = damaged.skipped_records()
  with caplog.at_level(logging.WARNING, 'absl'):
    labels = np.concatenate([labels for _, labels in take(damaged.training_batches(20, seed=0), 1)])
    evaluated = np.concatenate([labels for _, labels in take(damaged.evaluation_batches(4), 9)])
  readable = set(range(TRAIN)) - {2, 3, 7}
  assert set(labels) == readable and len(labels) == TRAIN
  assert sorted(evaluated) == sorted(set(range(VALIDATION)) - {2, 3, 7})
  assert damaged.skipped_records() >= before + 6  # prefetching may have begun another epoch
  messages = [record.getMessage() for record in caplog.records]
  assert any('training records cannot be read' in message for message in messages)
  assert any('validation records cannot be read' in message and 'JPEG' in message for message in messages)


def test_a_damaged_first_file_and_garbage_are_no_reason_to_stop(tmp_path):
  data = make(tmp_path)
  path = tmp_path / 'train-00000-of-00002'
  contents = path.read_bytes()
  path.write_bytes(contents[:len(contents) // 2])
  with tf.io.TFRecordWriter(str(tmp_path / 'validation-00000-of-00002')) as writer:
    for record in [b'\xff' * 500, *records(VALIDATION, 100)[2::2]]:
      writer.write(record)
  data.check()
  labels, = [labels for _, labels in take(data.training_batches(20, seed=0), 1)]
  assert set(range(1, TRAIN, 2)) < set(labels) < set(range(TRAIN)) and len(labels) == TRAIN
  evaluated = np.concatenate([labels for _, labels in take(data.evaluation_batches(4), 9)])
  assert sorted(evaluated) == list(range(1, VALIDATION))


def test_pipelines_share_the_evaluation_images(data):
  shares = [take(data.evaluation_batches(4, context(p, 2, 2)), 9) for p in (0, 1)]
  assert [[len(labels) for _, labels in share] for share in shares] == [[2, 2, 2], [2, 2, 1]]
  assert sorted(np.concatenate([labels for share in shares for _, labels in share])) == list(range(VALIDATION))


def test_tfds_holds_the_same_images(tmp_path):
  train, validation = jpegs(6), jpegs(5, 100)
  tiny_imagenet.write_tfds(tmp_path, train, validation)
  data = imagenet.ImageNet(data_dir=str(tmp_path), train_images=6, validation_images=5, image_size=24)
  data.check()
  images, labels = take(data.evaluation_batches(9), 1)[0]
  # What TFDS has in validation_labels.txt for the first images: n01751748, n09193705, n02105855, n04263257, n03125729.
  expected = dict(zip([65, 970, 230, 809, 516], validation))
  assert sorted(labels) == sorted(expected)
  for image, label in zip(images, labels):
    np.testing.assert_allclose(data.preprocess(tf.io.decode_jpeg(expected[label])), image, atol=1e-6)
  images, labels = take(data.training_batches(6, seed=0), 1)[0]
  assert sorted(labels) == [0, 0, 1, 1, 2, 2] and images.shape == (6, 24, 24, 3)


def test_a_strategy_distributes_training_batches(data):
  strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  distributed = strategy.distribute_datasets_from_function(lambda c: data.training_batches(8, 0, 0, c).take(4))
  steps = [[np.concatenate(strategy.experimental_local_results(it)) for it in batch] for batch in distributed]
  assert_same(steps, take(data.training_batches(8, 0), 2))


def test_permanence_of_training_batches(data):
  # Update when order or augmentation change on purpose: runs then do not go on from checkpoints as they would have.
  (images, labels), = take(data.training_batches(8, seed=5), 1)
  assert labels.tolist() == [7, 15, 3, 11, 9, 1, 17, 2]
  np.testing.assert_allclose(images[:4, 0, 0, 0], [-1.546, 2.104, -.148, -.560], atol=.05)


@pytest.mark.parametrize('options, message', [
    ({'num_classes': 0}, '`num_classes` must be positive, received 0'),
    ({'shuffle_buffer': -1}, '`shuffle_buffer` must be positive, received -1'),
    ({'crop_area': (0., 1.)}, r'`crop_area` must be .*received \(0.0, 1.0\)'),
    ({'crop_area': (.5, .4)}, r'`crop_area` must be .*received \(0.5, 0.4\)'),
    ({'randaugment_layers': -1}, '`randaugment_layers` must not be negative, received -1'),
    ({'randaugment_magnitude': 11.}, '`randaugment_magnitude` must be from 0 to 10, received 11'),
    ({'center_crop_fraction': 0.}, '`center_crop_fraction` must be above 0 and up to 1, received 0'),
    ({'resize_method': 'cubic'}, "`resize_method` must be one of .*received 'cubic'")])
def test_arguments_out_of_range(options, message):
  with pytest.raises(ValueError, match=message):
    imagenet.ImageNet(data_dir='', **options)


@pytest.mark.parametrize('options, message', [
    ({'train_files': None}, r'needs either `data_dir`.*received None and None, .*validation-\*'),
    ({'data_dir': 'x'}, "needs either `data_dir`.*received 'x' and '.*train"),
    ({'validation_files': '/nowhere/*'}, "`validation_files` must match TFRecord files.*received '/nowhere/"),
    ({'train_images': 100}, '`train_images` must be the number of records.*received 100.*about 20'),
    ({'first_label': 30}, 'train images in .* cannot be used. None of the first 20 .*label must be from 30 to 79'),
    ({'num_classes': 5, 'first_label': -9}, 'label must be from -9 to -5')])
def test_check_errors(tmp_path, options, message):
  data = make(tmp_path, **options)
  with pytest.raises(ValueError, match=f'(?s){message}'):
    data.check()
  with pytest.raises(ValueError, match=f'(?s){message}'):
    if 'validation_files' in options:
      data.evaluation_batches(4)
    data.training_batches(4, 0)


def test_batch_size_must_be_positive(data):
  for call in (lambda: data.training_batches(0, 0), lambda: data.evaluation_batches(-1)):
    with pytest.raises(ValueError, match='`batch_size` must be positive, received'):
      call()


def test_each_split_is_looked_for_once(tmp_path, monkeypatch):
  data, found = make(tmp_path), []
  find = imagenet_files.find_files
  monkeypatch.setattr(imagenet_files, 'find_files', lambda *args: found.append(args[0]) or find(*args))
  data.check()
  data.training_batches(4, seed=0)
  data.evaluation_batches(4)
  data.check()
  assert found == ['train_files', 'validation_files']
