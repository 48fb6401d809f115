"""Pictures, pixel by pixel where the place is known."""

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
import pytest
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

from detection.results import visualize
from detection.results.instances import Instances
from tests.detection import tiny_detections

NAMES = {1: 'cat', 2: 'dog'}
GREY = np.full([400, 500, 3], 100, np.uint8)


def found(*objects, scores=None, masks=None):
  """Instances of (category, [ymin, xmin, ymax, xmax])."""
  boxes = np.array([box for _, box in objects], np.float32).reshape(-1, 4)
  return Instances(boxes, np.array([category for category, _ in objects], int), scores, masks)


def pixels(picture, category):
  """Where a picture has exactly the colour of a class."""
  return (picture == visualize.colour(category)).all(axis=-1)


def test_a_box_its_translucent_mask_and_nothing_else():
  masks = np.zeros([1, 400, 500], bool)
  masks[0, 150:190, 220:260] = True
  picture = visualize.draw(GREY, found((1, [100, 200, 300, 400]), masks=masks), NAMES)
  colour = np.array(visualize.colour(1))
  np.testing.assert_allclose(picture[160, 230], 100 + .45 * (colour - 100.), atol=.5)
  assert pixels(picture, 1)[[100, 300, 200, 200], [350, 300, 200, 400]].all()
  changed = (picture != GREY).any(axis=-1)
  assert not changed[130:148, 210:390].any() and not changed[302:].any() and not changed[:, :200].any()
  assert changed[80:100, 200:230].any(), 'the label stands over the box'


def test_no_objects():
  np.testing.assert_array_equal(visualize.draw(GREY, found(), NAMES), GREY)


def test_small_objects_are_drawn_over_large_ones():
  masks = np.stack([np.ones([400, 500], bool), np.zeros([400, 500], bool), np.ones([400, 500], bool)])
  masks[1, 200:220, 200:220] = True
  boxes = [(1, [0, 0, 400, 500]), (2, [200, 200, 220, 220]), (1, [0, 0, 399, 499])]
  picture = visualize.draw(GREY, found(*boxes, masks=masks), NAMES).astype(float)
  below = picture[250, 250]
  np.testing.assert_allclose(picture[210, 210], below + .45 * (np.array(visualize.colour(2)) - below), atol=1.)


def label(name, score=None):
  scores = None if score is None else np.array([score], np.float32)
  return visualize.draw(GREY, found((1, [100, 200, 300, 400]), scores=scores), {1: name})[:100]


def test_labels_hold_name_and_score():
  plain, longer, scored, other = label('cat'), label('caterpillar'), label('cat', .51), label('cat', .98)
  width = lambda picture: pixels(picture, 1).any(axis=0).sum()
  assert width(plain) < width(scored) and width(plain) < width(longer)
  assert (scored != other).any() and (scored == label('cat', .5149)).all()


def test_a_class_without_a_name_is_a_number():
  picture = lambda names: visualize.draw(GREY, found((17, [100, 200, 300, 400])), names)
  np.testing.assert_array_equal(picture({}), picture({17: '17'}))


def test_labels_do_not_cover_each_other_where_there_is_room():
  box = [100, 200, 300, 400]
  areas = [pixels(visualize.draw(GREY, found((i, box)), NAMES)[:100], i).sum() for i in (1, 2)]
  both = visualize.draw(GREY, found((1, box), (2, box)), NAMES)
  inside = np.s_[102:298, 202:398]
  assert pixels(both[:100], 1).sum() >= areas[0] or pixels(both[inside], 1).sum() > .5 * areas[0]
  assert pixels(both[:100], 2).sum() + pixels(both[inside], 2).sum() > .5 * areas[1]


@pytest.mark.parametrize('box', [[-20, -30, 10, 10], [390, 480, 440, 560], [500, 600, 510, 620], [0, 0, 400, 500]])
def test_boxes_over_the_border(box):
  picture = visualize.draw(GREY, found((1, box)), NAMES)
  assert picture.shape == GREY.shape and pixels(picture, 1).any()


def test_colours_differ():
  colours = np.array([visualize.colour(i) for i in range(1, 91)], float)
  distances = np.linalg.norm(colours[:, None] - colours, axis=-1)[~np.eye(90, dtype=bool)].reshape(90, 89)
  assert distances.min() > 10
  assert distances[:12, :11].min() > 70


def test_small_images_are_enlarged():
  image = np.random.default_rng(0).integers(0, 255, [30, 90, 3], np.uint8)
  masks = np.zeros([1, 30, 90], bool)
  masks[0, 20, 50] = True
  picture = visualize.draw(image, found((1, [18, 40, 25, 60]), masks=masks), {1: ''})
  assert picture.shape == (150, 450, 3)
  np.testing.assert_array_equal(picture[:50], image.repeat(5, axis=0).repeat(5, axis=1)[:50])
  assert (picture[100:105, 250:255] == picture[100, 250]).all() and (picture[100, 250] != image[20, 50]).any()


def test_side_by_side():
  left, right = np.full([60, 80, 3], 10, np.uint8), np.full([60, 90, 3], 200, np.uint8)
  sheet = visualize.beside({'one': left, 'two': right})
  np.testing.assert_array_equal(sheet[-60:, :80], left)
  np.testing.assert_array_equal(sheet[-60:, -90:], right)
  assert (sheet[:-60] == 0).any() and (sheet[:-60] == 255).any()


def scene(tmp_path):
  """Images as the network reads them, predictions of them, and the annotations."""
  smooth = np.stack(np.broadcast_arrays(*np.mgrid[:60, :100] * 2., 50.), axis=-1)
  large = np.asarray(Image.fromarray(smooth.astype(np.uint8)).resize((200, 120), Image.Resampling.BILINEAR))
  padded = np.zeros([2, 128, 256, 3], np.float32)
  padded[:, :120, :200] = (large / 255. - [.485, .456, .406]) / [.229, .224, .225]
  predictions = tiny_detections.batch({42: [], 11: [(1, [60, 10, 30, 40], .9, None), (3, [5, 5, 9, 9], .2, None)]}, 2.)
  return smooth, padded, predictions, COCO(tiny_detections.annotation_file(tmp_path))


def test_comparisons_of_a_validation_batch(tmp_path):
  smooth, images, predictions, coco = scene(tmp_path)
  numpy = {name: np.array(value) for name, value in predictions.items()}
  (first, empty), (second, picture) = visualize.comparisons(images, numpy, coco)
  assert (first, second) == (42, 11)
  expected = smooth.repeat(4, axis=0).repeat(4, axis=1)  # 100 pixels are enlarged to 400
  for half in (empty[-240:, :400], empty[-240:, -400:]):  # an image without annotations and predictions
    np.testing.assert_allclose(half.astype(float), expected, atol=8)  # the scaling blurs
  truth, prediction = picture[-240:, :400], picture[-240:, -400:]
  assert pixels(truth, 3).sum() > 500 and not pixels(prediction, 3).any(), 'a low score is not drawn'
  assert pixels(truth, 1)[60, 40] and pixels(prediction, 1)[150, 240]


def test_tensorboard(tmp_path):
  _, images, predictions, coco = scene(tmp_path)
  with tf.summary.create_file_writer(str(tmp_path)).as_default() as writer:
    visualize.write_comparisons(images, predictions, coco, step=7)
    writer.flush()
  events = event_accumulator.EventAccumulator(str(tmp_path), {'tensors': 0}).Reload()
  assert sorted(events.Tags()['tensors']) == ['validation/11', 'validation/42']
  event, = events.Tensors('validation/11')
  width, height, png = event.tensor_proto.string_val
  assert (event.step, int(width), int(height)) == (7, *tf.io.decode_image(png).shape[1::-1])
