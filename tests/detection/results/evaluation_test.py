"""The evaluation against pycocotools, called directly on the files that it writes."""

import json
import pathlib

import numpy as np
from official.vision.configs import maskrcnn as configs
from official.vision.evaluation import coco_evaluator
from official.vision.tasks import maskrcnn
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
import pytest
import tensorflow as tf

from detection.results.evaluation import Evaluator
from detection.results.evaluation import METRICS
from detection.results.instances import annotated
from tests.detection import tiny_detections

COCO_TINY = pathlib.Path(__file__).parents[4] / 'shared/data/coco_tiny/annotations/instances_val2017.json'
KINDS = {'box': 'bbox', 'mask': 'segm'}


@pytest.fixture
def annotations(tmp_path):
  return tiny_detections.annotation_file(tmp_path)


def evaluate(annotation_file, *batches, **arguments):
  evaluator = Evaluator(annotation_file, **arguments)
  for predictions in batches:
    evaluator.update_state(None, predictions)
  return evaluator.result()


def direct(annotation_file, folder, kind, category=None):
  """The 12 numbers by pycocotools alone, of one category or of all."""
  truth = COCO(annotation_file)
  evaluation = COCOeval(truth, truth.loadRes(str(folder / f'results_{KINDS[kind]}.json')), KINDS[kind])
  if category:
    evaluation.params.catIds = [category]
  evaluation.evaluate()
  evaluation.accumulate()
  evaluation.summarize()
  return evaluation.stats


def assert_as_pycocotools(results, annotation_file, folder):
  names = {c['id']: c['name'] for c in json.loads(pathlib.Path(annotation_file).read_text())['categories']}
  for kind in KINDS:
    np.testing.assert_array_equal(
        [results[f'{kind}/{name}'] for name in METRICS], direct(annotation_file, folder, kind))
    by_class = {name: value for i, name in names.items() if (value := direct(annotation_file, folder, kind, i)[0]) > -1}
    assert {name: results.get(f'{kind}_AP_by_class/{name}') for name in names.values()} == {
        **dict.fromkeys(names.values()), **{name: pytest.approx(value, abs=1e-12) for name, value in by_class.items()}}


def test_the_numbers_of_noisy_predictions(annotations, tmp_path):
  results = evaluate(annotations, tiny_detections.batch(tiny_detections.noisy(), 1.28), folder=tmp_path)
  assert len(results) == 2 * (12 + 3)
  assert_as_pycocotools(results, annotations, tmp_path)
  assert .1 < results['mask/AP'] != results['box/AP'] < .9 and results['box/AP_small'] not in (-1, 0, 1)


def test_the_numbers_of_real_annotations(tmp_path):
  if not COCO_TINY.exists():
    pytest.skip('needs the small part of COCO')
  coco, rng = COCO(str(COCO_TINY)), np.random.default_rng(0)
  evaluator = Evaluator(str(COCO_TINY), folder=tmp_path)
  for image_id, image in coco.imgs.items():
    truth = annotated(coco, image_id)
    count, scale = len(truth.classes), 512 / max(image['height'], image['width'])
    size = [image['height'], image['width']]
    info = [size, [512, 512], [scale, scale], [0, 0]]
    values = {
        'source_id': np.array([image_id]), 'image_info': np.array([info], np.float32), 'num_detections': [count],
        'detection_boxes': (truth.boxes[None] + rng.normal(size=[1, count, 4]) * .1).astype(np.float32) * scale,
        'detection_classes': truth.classes[None], 'detection_scores': rng.uniform(size=[1, count]).astype(np.float32),
        'detection_masks': np.ones([1, count, 28, 28], np.float32)}
    evaluator.update_state(None, {name: tf.constant(value) for name, value in values.items()})
  results = evaluator.result()
  assert_as_pycocotools(results, str(COCO_TINY), tmp_path)
  assert results['box/AP50'] > .95 and .2 < results['mask/AP50'] < .95


def test_perfect_predictions(annotations):
  results = evaluate(annotations, tiny_detections.batch(tiny_detections.perfect(), 1.28))
  assert {name: value for name, value in results.items() if '/AR1' not in name} == {
      name: pytest.approx(1.) for name in results if '/AR1' not in name}
  assert results['box/AR1'] == pytest.approx(np.mean([2 / 3, 1, 1]))  # the cats: two in an image, of three


def test_categories_of_one_name_keep_their_numbers(annotations, tmp_path):
  annotation = json.loads(pathlib.Path(annotations).read_text())
  for category in annotation['categories']:
    category['name'] = 'bird' if category['id'] == 7 else 'pet'
  path = tmp_path / 'twins.json'
  path.write_text(json.dumps(annotation))
  found = tiny_detections.batch(tiny_detections.noisy(), 1.28)
  apart, twins = evaluate(annotations, found), evaluate(str(path), found)
  assert len(twins) == len(apart)
  for kind in KINDS:
    assert twins[f'{kind}_AP_by_class/pet (1)'] == apart[f'{kind}_AP_by_class/cat']
    assert twins[f'{kind}_AP_by_class/pet (3)'] == apart[f'{kind}_AP_by_class/dog']
    assert twins[f'{kind}_AP_by_class/bird'] == apart[f'{kind}_AP_by_class/bird']


def test_no_predictions(annotations, tmp_path):
  nothing = tiny_detections.batch({image: [] for image in tiny_detections.SIZES})
  results = evaluate(annotations, nothing, folder=tmp_path)
  assert set(results.values()) == {0.} and len(results) == 30
  assert [(tmp_path / f'results_{kind}.json').read_text() for kind in KINDS.values()] == ['[]', '[]']


def test_the_files(annotations, tmp_path):
  evaluate(annotations, tiny_detections.batch({5: [(3, [5, 30, 50, 60], .5, None), (2, [1, 1, 5, 5], .4, None)]}, 2.),
           folder=tmp_path)  # the file has no category 2
  boxes, masks = (json.loads((tmp_path / f'results_{kind}.json').read_text()) for kind in KINDS.values())
  assert boxes == [{'image_id': 5, 'category_id': 3, 'bbox': [5, 30, 50, 60], 'score': .5}]
  assert [set(mask) for mask in masks] == [{'image_id', 'category_id', 'segmentation', 'score'}]
  assert isinstance(masks[0]['segmentation']['counts'], str)
  np.testing.assert_array_equal(
      mask_api.decode(masks[0]['segmentation']), tiny_detections.rectangle([5, 30, 50, 60], 100, 60))


def test_replicas_batches_and_images_that_come_again(annotations):
  found = tiny_detections.noisy()
  expected = evaluate(annotations, tiny_detections.batch(found))
  parts = [tiny_detections.batch({image: found[image] for image in images}) for images in ([11, 5], [8, 42], [8, 11])]
  replicas = {name: (parts[0][name], parts[1][name]) for name in parts[0]}
  assert evaluate(annotations, replicas) == expected
  assert evaluate(annotations, *parts) == expected


def test_half_precision(annotations):
  predictions = tiny_detections.batch(tiny_detections.perfect(), 2.)
  halves = {name: tf.cast(value, tf.bfloat16) for name, value in predictions.items() if value.dtype == tf.float32}
  assert evaluate(annotations, {**predictions, **halves}) == evaluate(annotations, predictions)


def test_in_the_place_of_a_tasks_own_evaluator(annotations):
  task = maskrcnn.MaskRCNNTask(configs.MaskRCNNTask(annotation_file=annotations))
  task.build_metrics(training=False)
  task.coco_metric = Evaluator(annotations)
  for _ in range(2):
    state = None
    for image, found in tiny_detections.noisy().items():
      state = task.aggregate_logs(state, {'coco_metric': ({}, tiny_detections.batch({image: found}))})
    assert task.reduce_aggregated_logs(state) == evaluate(annotations, tiny_detections.batch(tiny_detections.noisy()))


def test_only_the_images_seen_count(annotations, caplog):
  found = tiny_detections.perfect()
  results = evaluate(annotations, tiny_detections.batch({image: found[image] for image in (11, 42)}))
  assert results['box/AP'] == 1 and 'box_AP_by_class/bird' not in results
  assert '2 of the 4 images' in caplog.text


def test_each_evaluation_begins_anew(annotations, tmp_path):
  evaluator = Evaluator(annotations, folder=tmp_path)
  evaluator.update_state(None, tiny_detections.batch(tiny_detections.noisy()))
  first = evaluator.evaluate()
  assert first == evaluator.evaluate() == evaluator.result()
  evaluator.update_state(None, tiny_detections.batch(tiny_detections.perfect()))
  assert evaluator.result()['box/AP'] == 1 > first['box/AP']


def test_boxes_without_masks(annotations, tmp_path):
  predictions = tiny_detections.batch(tiny_detections.perfect())
  del predictions['detection_masks']
  results = evaluate(annotations, predictions, include_mask=False, folder=tmp_path)
  assert results['box/AP'] == 1 and len(results) == 15
  assert not (tmp_path / 'results_segm.json').exists()


def test_model_garden_agrees_on_the_overall_numbers_of_boxes(annotations):
  first_six = {image: found[:6] for image, found in tiny_detections.noisy().items()}
  predictions = tiny_detections.batch(first_six, 1.28, slots=6)
  results = evaluate(annotations, predictions)
  theirs = coco_evaluator.COCOEvaluator(annotations, include_mask=False)
  # Theirs counts the padding: we let it have no score.
  padding = np.arange(6) >= predictions['num_detections'].numpy()[:, None]
  predictions['detection_scores'] = tf.where(padding, 0., predictions['detection_scores'])
  theirs.update_state(None, predictions)
  expected = theirs.result()
  for name in ('AP', 'AP50', 'AP75'):
    assert results[f'box/{name}'] == pytest.approx(expected[name], abs=1e-6) and expected[name] > .1


def test_an_image_without_annotations_is_refused(annotations):
  predictions = {**tiny_detections.batch({5: []}), 'source_id': tf.constant([6])}
  with pytest.raises(ValueError, match='`predictions` must be of images of .*instances.json; received image id 6'):
    Evaluator(annotations).update_state(None, predictions)


@pytest.mark.parametrize('damage', [lambda text: text[:len(text) // 2], lambda _: '[]', lambda _: '[' * 10**5])
def test_a_damaged_annotation_file_is_named(tmp_path, damage):
  path = pathlib.Path(tiny_detections.annotation_file(tmp_path))
  path.write_text(damage(path.read_text()))
  with pytest.raises(ValueError, match=f"`annotation_file` must be a JSON file in COCO's format, received '{path}'"):
    Evaluator(str(path))
