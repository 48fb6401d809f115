"""Pictures and JSON of image files, of every kind and of none."""

import json

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api
import pytest
import tensorflow as tf

from detection.results import predict as predict_lib
from detection.results.predict import predict
from detection.results.visualize import colour
from tests.detection import tiny_detections

NAMES = {1: 'cat', 3: 'dog'}


def detect(images):
  """A detector of one box over the lower half of the image, a second one of a low score, and padding."""
  height, width = images.shape[1:3]
  assert images.dtype == tf.uint8 and images.shape[0] == 1
  half = [height / 2, 0, height, width]
  return {name: tf.constant([value], dtype) for name, value, dtype in (
      ('detection_boxes', [half] * 3, tf.float32), ('detection_classes', [3, 1, 0], tf.int32),
      ('detection_scores', [.75, .25, 0.], tf.float32), ('detection_masks', np.ones([3, 28, 28]), tf.float32),
      ('num_detections', 2, tf.int32))}


@pytest.fixture
def files(tmp_path):
  image = Image.fromarray(np.full([40, 60, 3], 90, np.uint8))
  (tmp_path / 'other').mkdir()
  paths = [tmp_path / name for name in ('a.png', 'broken.jpg', 'a.jpg', 'other/a.png', 'gone.png', 'a_2.png')]
  for path in paths:
    if path.name not in ('broken.jpg', 'gone.png'):
      image.save(path)
  paths[1].write_bytes(b'no image')
  return paths


def test_what_is_written(files, tmp_path):
  result = predict(detect, files, tmp_path / 'deep' / 'out', NAMES)
  folder = tmp_path / 'deep' / 'out'
  assert json.loads((folder / 'predictions.json').read_text()) == result
  names = ['a_detections.png', 'a2_detections.png', 'a3_detections.png', 'a_2_detections.png']
  assert [image['picture'] for image in result['images']] == names
  assert sorted(path.name for path in folder.iterdir()) == sorted(names + ['predictions.json'])
  first = result['images'][0]
  assert (first['image'], first['height'], first['width']) == (str(files[0]), 40, 60)
  record, = first['detections']
  mask = mask_api.decode(record.pop('segmentation'))
  assert record == {'category_id': 3, 'category': 'dog', 'score': .75, 'bbox': [0, 20, 60, 20]}
  np.testing.assert_array_equal(mask, tiny_detections.rectangle([0, 20, 60, 20], 40, 60))
  picture = np.asarray(Image.open(folder / 'a_detections.png'))
  assert picture.shape == (280, 420, 3)  # seven times as large
  np.testing.assert_array_equal(picture[10, 200], 90)
  np.testing.assert_allclose(picture[250, 200], 90 + .45 * (np.array(colour(3)) - 90.), atol=.5)


def test_unreadable_images_are_reported(files, tmp_path, caplog):
  result = predict(detect, files, tmp_path / 'out', NAMES)
  assert [entry['image'] for entry in result['unreadable']] == [str(files[1]), str(files[4])]
  assert 'nknown image file format' in result['unreadable'][0]['error']
  assert 'No such file' in result['unreadable'][1]['error']
  assert f'{files[1]} cannot be read' in caplog.text


def test_what_was_found_is_kept_if_it_is_ended(files, tmp_path, monkeypatch):
  monkeypatch.setattr(predict_lib, '_SECONDS_BETWEEN_WRITES', 0.)

  def killed(images):
    if (tmp_path / 'out' / 'a_detections.png').exists():
      raise KeyboardInterrupt
    return detect(images)

  with pytest.raises(KeyboardInterrupt):
    predict(killed, files, tmp_path / 'out', NAMES)
  image, = json.loads((tmp_path / 'out' / 'predictions.json').read_text())['images']
  assert image['image'] == str(files[0]) and len(image['detections']) == 1


def test_the_score_that_is_needed(files, tmp_path):
  image, = predict(detect, files[:1], tmp_path / 'out', NAMES, min_score=.2)['images']
  assert [record['category'] for record in image['detections']] == ['dog', 'cat']
  image, = predict(detect, files[:1], tmp_path / 'out', {}, min_score=.8)['images']
  assert image['detections'] == []


def test_categories_are_named_by_their_ids(files, tmp_path):
  ids = {1: -2**63, 2: 5, 3: 2**63 - 1}
  names = {2**63 - 1: 'dog', -2**63: 'cat', 5: 'bird', 3: 'none'}
  image, = predict(detect, files[:1], tmp_path / 'out', names, min_score=.2, category_ids=ids)['images']
  assert [(found['category_id'], found['category']) for found in image['detections']] == [
      (2**63 - 1, 'dog'), (-2**63, 'cat')]


def test_photographs_are_turned(tmp_path):
  """Stored lying on its side, and bright at what is the bottom when it is held upright."""
  pixels = np.full([40, 60, 3], 20, np.uint8)
  pixels[:, 40:] = 220
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.fromarray(pixels).save(tmp_path / 'a.jpg', exif=exif, quality=100)
  seen = []
  image, = predict(lambda images: seen.append(images) or detect(images), [tmp_path / 'a.jpg'], tmp_path / 'out', NAMES)[
      'images']
  assert seen[0].shape == (1, 60, 40, 3) and (image['height'], image['width']) == (60, 40)
  assert (seen[0][0, 44:].numpy() > 150).all() and (seen[0][0, :36].numpy() < 100).all()
  assert [found['bbox'] for found in image['detections']] == [[0, 30, 40, 30]]  # the lower half of what is seen
  assert image['detections'][0]['segmentation']['size'] == [60, 40]
  width, height = Image.open(tmp_path / 'out' / image['picture']).size
  assert (height, width) == (7 * 60, 7 * 40)


def test_a_detector_without_masks(files, tmp_path):
  boxes_only = lambda images: {n: value for n, value in detect(images).items() if n != 'detection_masks'}
  image, = predict(boxes_only, files[:1], tmp_path / 'out', {})['images']
  assert image['detections'] == [{'category_id': 3, 'category': '3', 'score': .75, 'bbox': [0, 20, 60, 20]}]


def test_no_images(tmp_path):
  with pytest.raises(ValueError, match='`paths` must name at least one image'):
    predict(detect, [], tmp_path, NAMES)
