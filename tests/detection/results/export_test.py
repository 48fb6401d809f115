"""An exported Mask R-CNN of random weights, moved to another folder, against the model on the evaluation's images."""

import io
import shutil

import numpy as np
from official.core import exp_factory
from official.vision import configs  # noqa: F401  # registers the experiments
from official.vision.dataloaders import maskrcnn_input
from official.vision.modeling import factory
from PIL import Image
import pytest
import tensorflow as tf
import tf_keras

from detection.results.export import Detector
from detection.results.export import export
from detection.results.predict import predict
import evonorm_tf

pytestmark = pytest.mark.usefixtures('suppression_traced_once')
SIZE = 128
NAMES = {1: 'cat', 3: 'dog'}
IMAGES = np.random.default_rng(0).integers(0, 256, [2, 10, 15, 3], np.uint8).repeat(10, axis=1).repeat(10, axis=2)


def experiment():
  config = exp_factory.get_exp_config('maskrcnn_resnetfpn_coco')
  config.override({'task': {'model': {
      'num_classes': 5, 'input_size': [SIZE, SIZE, 3], 'min_level': 3, 'max_level': 4,
      'backbone': {'type': 'resnet', 'resnet': {'model_id': 18}}, 'decoder': {'fpn': {'num_filters': 16}},
      'rpn_head': {'num_filters': 16}, 'detection_head': {'num_convs': 1, 'num_filters': 16, 'fc_dims': 16},
      'mask_head': {'num_convs': 1, 'num_filters': 16},
      'roi_generator': {'test_pre_nms_top_k': 50, 'test_num_proposals': 20},
      'detection_generator': {'max_num_detections': 8, 'pre_nms_top_k': 50, 'pre_nms_score_threshold': .2}}}})
  return config


@pytest.fixture(scope='module')
def model():
  """A converted detector, called symbolically as a MaskRCNNTask does it, whose weights spread its outputs."""
  built = factory.build_maskrcnn(
      tf_keras.layers.InputSpec(shape=[None, SIZE, SIZE, 3]), experiment().task.model)
  built = evonorm_tf.convert_norm_act(built, 'evonorm_s0')
  built(tf_keras.Input([SIZE, SIZE, 3]), image_shape=tf_keras.Input([2]), training=False)
  rng = np.random.default_rng(0)
  for weight in built.weights:
    if weight.name.endswith(('gamma:0', 'v1:0')):
      weight.assign(rng.uniform(.5, 1.5, weight.shape))
    elif weight.shape.rank > 1:
      is_box = weight.shape[-1] in (12, 20)  # of three anchors or five classes
      scale = .1 if is_box else (2 / np.prod(weight.shape[:-1]))**.5
      weight.assign(rng.normal(size=weight.shape) * scale)
  return built


@pytest.fixture(scope='module')
def loaded(model, tmp_path_factory):
  folder = str(tmp_path_factory.mktemp('export') / 'export')
  assert export(Detector(model, experiment(), NAMES), folder) == folder
  return tf.saved_model.load(shutil.move(folder, tmp_path_factory.mktemp('elsewhere') / 'moved'))


@pytest.fixture(scope='module')
def expected(model):
  """The model's detections on what Model Garden's evaluation makes of the images, in pixels of the original."""
  parser = maskrcnn_input.Parser([SIZE, SIZE], 3, 4, 1, [.5, 1., 2.], 8., include_mask=False)
  nothing = {f'groundtruth_{name}': tf.zeros(shape) for name, shape in (
      ('boxes', [0, 4]), ('classes', [0]), ('area', [0]), ('is_crowd', [0]))}
  parsed = [parser._parse_eval_data(
      {'image': tf.constant(image), 'source_id': tf.constant('1'), 'height': 100, 'width': 150, **nothing})
            for image in IMAGES]
  images, labels = tf.nest.map_structure(lambda *values: tf.stack(values), *parsed)
  outputs = model(images, image_shape=labels['image_info'][:, 1], anchor_boxes=labels['anchor_boxes'], training=False)
  outputs = {name: value.numpy() for name, value in outputs.items() if name.startswith(('detection_', 'num_'))}
  outputs['detection_boxes'] /= np.array([85 / 100, 128 / 150] * 2)  # fitted into a square of 128 pixels
  return outputs


def assert_equal(received, wanted):
  assert set(received) == set(wanted)
  for name, value in wanted.items():
    np.testing.assert_allclose(received[name], value, atol=1e-4 * max(1., np.ptp(value)), err_msg=name)


def encoded(pixels, kind, mode='RGB'):
  file = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(file, kind)
  return file.getvalue()


def test_the_detections_tell_something(expected):
  assert expected['detection_masks'].shape == (2, 8, 28, 28)
  assert (expected['num_detections'] >= 4).all()
  assert len(set(expected['detection_classes'].ravel())) > 1
  assert np.ptp(expected['detection_scores'][0, :4]) > .01 and np.ptp(expected['detection_boxes'][0, :4]) > 50
  assert np.ptp(expected['detection_masks'][0, 0]) > .01
  assert np.abs(expected['detection_boxes'][0] - expected['detection_boxes'][1]).max() > 1


def test_outputs_are_those_of_the_model(loaded, expected):
  received = loaded.signatures['serving_default'](images=tf.constant(IMAGES))
  assert_equal(received, expected)
  assert {name: value.dtype for name, value in received.items()} == {
      **{f'detection_{name}': tf.float32 for name in ('boxes', 'scores', 'masks')},
      'detection_classes': tf.int32, 'num_detections': tf.int32}


def test_files_of_different_sizes_and_kinds(loaded, expected):
  larger = IMAGES[1].repeat(2, axis=0).repeat(2, axis=1)
  files = [encoded(IMAGES[0], 'PNG'), encoded(larger, 'BMP'), encoded(IMAGES[0], 'PNG', 'RGBA')]
  received = loaded.signatures['image_bytes'](image_bytes=tf.constant(files))
  assert_equal({name: value[0] for name, value in received.items()}, {n: value[0] for n, value in expected.items()})
  assert_equal({name: value[2] for name, value in received.items()}, {n: value[0] for n, value in expected.items()})
  alone = loaded.signatures['serving_default'](images=tf.constant(larger[None]))
  assert_equal({name: value[1] for name, value in received.items()}, {n: value[0] for n, value in alone.items()})
  assert np.max(alone['detection_boxes']) > 150  # in pixels of the larger image


def test_photographs_are_turned(loaded):
  """The detections are those of the picture that a viewer shows, in its pixels."""
  exif = Image.Exif()
  exif[0x0112] = 6
  file = io.BytesIO()
  Image.fromarray(IMAGES[0]).save(file, 'JPEG', exif=exif, quality=95)
  received = loaded.signatures['image_bytes'](image_bytes=tf.constant([file.getvalue(), encoded(IMAGES[0], 'PNG')]))
  seen = np.rot90(tf.io.decode_jpeg(file.getvalue()).numpy(), -1)
  assert seen.shape == (150, 100, 3)
  wanted = loaded.signatures['serving_default'](images=tf.constant(seen[None]))
  assert_equal({name: value[:1] for name, value in received.items()}, wanted)
  lying = loaded.signatures['serving_default'](images=tf.constant(IMAGES[:1]))
  assert np.abs(wanted['detection_boxes'] - lying['detection_boxes']).max() > 1


def test_class_names_and_ids(loaded, model):
  assert [name.decode() for name in loaded.class_names.numpy()] == ['', 'cat', '', 'dog', '']
  assert loaded.category_ids.numpy().tolist() == [0, 1, 2, 3, 4]
  detector = Detector(model, experiment(), {1: 'cat', 2: 'dog'}, {1: -3, 2: 2**63 - 1})
  assert detector.category_ids.numpy().tolist() == [0, -3, 2**63 - 1, 0, 0]


def test_a_loaded_detector_predicts(loaded, expected, tmp_path):
  (tmp_path / 'a.png').write_bytes(encoded(IMAGES[0], 'PNG'))
  result = predict(loaded.from_images, [tmp_path / 'a.png'], tmp_path / 'out', NAMES, min_score=0.)
  count = expected['num_detections'][0]
  found = result['images'][0]['detections']
  assert [record['category_id'] for record in found] == expected['detection_classes'][0, :count].tolist()
  np.testing.assert_allclose([record['bbox'][0] for record in found], expected['detection_boxes'][0, :count, 1],
                             atol=.05)


def test_what_is_no_image_is_refused(loaded):
  with pytest.raises(tf.errors.InvalidArgumentError, match='(?i)unknown image file format'):
    loaded.signatures['image_bytes'](image_bytes=tf.constant([b'no image']))


def test_suppression_that_wants_a_fixed_batch_size_is_refused(model):
  config = experiment()
  config.task.model.detection_generator.nms_version = 'v1'
  with pytest.raises(ValueError, match='`config.task.model.detection_generator.nms_version` must be v2 .*received v1'):
    Detector(model, config, NAMES)
