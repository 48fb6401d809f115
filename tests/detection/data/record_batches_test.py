"""Records that are damaged in every way: what is refused, what takes their place; and whole ones by Model Garden."""

import dataclasses
import logging
import pathlib

import numpy as np
from official.vision.configs import maskrcnn
from official.vision.tasks import maskrcnn as maskrcnn_task
import pytest
import tensorflow as tf

from detection.data import record_batches
from detection.data.prepared import record_files
from detection.task import MaskRCNNTask
from tests.detection.tiny_mask_rcnn import MODEL
from tests.detection.tiny_mask_rcnn import SIZE
from tests.detection.tiny_mask_rcnn import tiny_shapes

CLASSES = 6


@pytest.fixture(scope='module')
def info(tmp_path_factory):
  """Six images of shapes in one file."""
  return tiny_shapes(tmp_path_factory.mktemp('shapes')).read()[0]


@pytest.fixture(scope='module')
def record(info):
  """A record with at least two objects."""
  for data in tf.data.TFRecordDataset(record_files(info)).as_numpy_iterator():
    if len(parse(data).features.feature['image/object/class/label'].int64_list.value) > 1:
      return data


def parse(record):
  return tf.train.Example.FromString(record)


def changed(record, name, change):
  """Returns the record with `change` made to the list of values of a feature; None leaves the feature out."""
  example = parse(record)
  feature = example.features.feature[name]
  if change is None:
    del example.features.feature[name]
  else:
    values = getattr(feature, feature.WhichOneof('kind')).value
    values[:] = change(list(values))
  return example.SerializeToString()


def first(value):
  return lambda values: [value, *values[1:]]


def cut(values):
  return [value[:len(value) // 2] for value in values]


OBJECT = 'image/object'
DAMAGES = {
    'a label of -5': (f'{OBJECT}/class/label', first(-5)), 'the background': (f'{OBJECT}/class/label', first(0)),
    'a label of a million': (f'{OBJECT}/class/label', first(10**6)),
    'the next label': (f'{OBJECT}/class/label', first(CLASSES)),
    'a box that is no number': (f'{OBJECT}/bbox/xmin', first(float('nan'))),
    'a box without an end': (f'{OBJECT}/bbox/ymax', first(float('inf'))),
    'a box outside': (f'{OBJECT}/bbox/xmax', first(1.1)), 'a box inside out': (f'{OBJECT}/bbox/ymin', first(.999)),
    'an area that is no number': (f'{OBJECT}/area', first(float('nan'))),
    'fewer labels': (f'{OBJECT}/class/label', lambda values: values[1:]),
    'fewer masks': (f'{OBJECT}/mask', lambda values: values[1:]), 'no masks': (f'{OBJECT}/mask', None),
    'no side of a box': (f'{OBJECT}/bbox/xmin', None), 'no labels': (f'{OBJECT}/class/label', None),
    'a mask cut': (f'{OBJECT}/mask', cut), 'a mask of another size': (f'{OBJECT}/mask', lambda values: [
        tf.io.encode_png(np.ones([3, 4, 1], np.uint8)).numpy() for _ in values]),
    'a grey mask': (f'{OBJECT}/mask', lambda values: [
        tf.io.encode_png(np.full([SIZE, SIZE, 1], 255, np.uint8)).numpy() for _ in values]),
    'an image cut': ('image/encoded', cut), 'no image': ('image/encoded', None),
    'another height': ('image/height', lambda values: [SIZE + 1]),
    'a GIF': ('image/encoded', lambda values: [
        b'GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;']),
    'an id that is no number': ('image/source_id', lambda values: [b'\xff7']),
    'an id beyond 64 bits': ('image/source_id', lambda values: [b'9223372036854775808'])}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_record_is_refused(record, damage):
  decoded = record_batches.decode(record, CLASSES)
  assert decoded['groundtruth_instance_masks'].shape[1:] == (SIZE, SIZE)
  with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
    record_batches.decode(changed(record, *DAMAGES[damage]), CLASSES)


@pytest.mark.parametrize('garbage', [b'', b'\xff' * 100, b'garbage'])
def test_what_is_no_example_is_refused(garbage):
  with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
    record_batches.decode(garbage, CLASSES)


def test_an_image_without_objects_is_none_of_these(record):
  example = parse(record)
  for name in [name for name in example.features.feature if name.startswith(OBJECT)]:
    del example.features.feature[name]
  decoded = record_batches.decode(example.SerializeToString(), CLASSES)
  assert decoded['groundtruth_boxes'].shape == (0, 4)
  assert decoded['groundtruth_instance_masks'].shape == (0, SIZE, SIZE)


@pytest.fixture
def damaged(info, record, tmp_path):
  """The six images of `info`, and between them one record of each damage."""
  good = list(tf.data.TFRecordDataset(record_files(info)).as_numpy_iterator())
  bad = [b'\xff' * 300, b'', *(changed(record, *damage) for damage in DAMAGES.values())]
  path = tmp_path / 'records'
  with tf.io.TFRecordWriter(str(path)) as writer:
    for data in [*bad[:10], *good[:3], *bad[10:], *good[3:]]:
      writer.write(data)
  return dataclasses.replace(info, records=str(path), num_examples=len(good) + len(bad))


def make_task(train, validation, **parser):
  def data(is_training):
    return maskrcnn.DataConfig(is_training=is_training, global_batch_size=2, dtype='float32', shuffle_buffer_size=4,
                               parser=maskrcnn.Parser(**parser))

  params = maskrcnn.MaskRCNNTask(
      model=MODEL.config(CLASSES, SIZE), train_data=data(True), validation_data=data(False))
  return MaskRCNNTask(params, train, validation, 'bn_relu', {}, seed=0)


@pytest.mark.slow
def test_damaged_records_are_replaced_in_training_and_left_out_of_evaluation(damaged, caplog):
  task = make_task(damaged, damaged)
  with caplog.at_level(logging.WARNING, 'absl'):
    batches = list(task.build_inputs(task.task_config.train_data).take(damaged.num_examples // 2))
    evaluated = [int(number) for _, labels in task.build_inputs(task.task_config.validation_data)
                 for number in labels['groundtruths']['source_id']]
  for images, labels in batches:
    for tensor in tf.nest.flatten((images, labels)):
      assert np.isfinite(tensor).all()
    assert set(labels['gt_classes'].numpy().ravel()) <= {-1, 1, 2, 3, 4, 5}
  assert len({image.numpy().tobytes() for images, _ in batches for image in images}) == 6
  assert evaluated[:6] == [1, 2, 3, 4, 5, 6] and set(evaluated) == set(range(1, 7))
  assert len(evaluated) == damaged.num_examples + damaged.num_examples % 2
  assert task.skipped_records() >= 2 * len(DAMAGES)
  assert "records cannot be read. The latest: record " in caplog.text and f"of '{damaged.records}': " in caplog.text


@pytest.mark.slow
def test_a_cut_file_loses_its_rest_alone(info, tmp_path, caplog):
  path = tmp_path / 'records'
  contents = pathlib.Path(record_files(info)[0]).read_bytes()
  path.write_bytes(contents[:len(contents) // 2])
  cut_short = dataclasses.replace(info, records=str(path))
  task = make_task(cut_short, cut_short)
  with caplog.at_level(logging.WARNING, 'absl'):
    evaluated = [int(number) for _, labels in task.build_inputs(task.task_config.validation_data)
                 for number in labels['groundtruths']['source_id']]
  assert len(evaluated) == 6 and 2 <= len(set(evaluated)) < 6
  assert f"'{path}' is damaged: only its first {len(set(evaluated))} records" in caplog.text


def test_only_where_nothing_can_be_read_is_it_an_error(info, tmp_path):
  path = tmp_path / 'records'
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(b'\xff' * 300)
  task = make_task(*[dataclasses.replace(info, records=str(path), num_examples=1)] * 2)
  for split in ('training', 'validation'):
    message = (f"The {split} images in '{path}' cannot be used. None of the first 1 records can be read. The latest: "
               f"record 0 of '{path}': it is no tf.train.Example.")
    with pytest.raises(ValueError, match=message):
      task.build_inputs(getattr(task.task_config, 'train_data' if split == 'training' else 'validation_data'))


@pytest.mark.parametrize('is_training', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_batches_are_those_of_model_gardens_reader(info, is_training):
  """But for the anchors that training samples at random."""
  task = make_task(info, info, aug_scale_min=.5, aug_scale_max=.5, mask_crop_size=28, max_num_instances=7)
  params = task.task_config.train_data if is_training else task.task_config.validation_data
  params = params.replace(input_path=record_files(info)[0])
  files = tf.data.TFRecordDataset(record_files(info))
  theirs = maskrcnn_task.MaskRCNNTask.build_inputs(
      task, params.replace(shuffle_buffer_size=1), dataset_fn=lambda _: files)
  decoded = files.map(lambda record: record_batches.decode(record, CLASSES))
  ours = record_batches.batches(decoded, task.task_config.model, params, tf.distribute.InputContext())
  for batch, expected in zip(ours.take(3), theirs.take(3), strict=True):
    for labels in (batch[1], expected[1]):
      for name in ('rpn_score_targets', 'rpn_box_targets'):
        labels.pop(name, None)
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), batch, expected)
