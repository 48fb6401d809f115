"""What is made of annotations by hand-worked cases, and files that are not COCO's."""

import contextlib
import hashlib
import json
import sys

import numpy as np
import pytest

from detection.data import coco_annotations
from detection.data import conversion_report as report
from detection.data.coco_masks import decode_mask

IMAGE = {'id': 7, 'file_name': 'a.png', 'height': 20, 'width': 30}
NAMES = {1: 'cat', 3: 'dog'}
SQUARE = [[2, 3, 8, 3, 8, 9, 2, 9]]


def annotation(**changes):
  """A good one, with changes; those that are None are left out."""
  fields = {'id': 5, 'image_id': 7, 'category_id': 3, 'iscrowd': 0, 'bbox': [2, 3, 6, 6], 'area': 35.5,
            'segmentation': SQUARE} | changes
  return {name: value for name, value in fields.items() if value is not None}


def deep(levels):
  return [deep(levels - 1)] if levels else []


def clean(**changes):
  """Returns the one annotation that is left, or None, and the one problem's kind, or None."""
  kept, problems = coco_annotations.clean_annotations(IMAGE, [annotation(**changes)], NAMES)
  assert all(problem.name == 'annotation 5 of a.png' for problem in problems)
  assert len(kept) < 2 and len(problems) < 2
  return (kept or [None])[0], problems[0].kind if problems else None


def test_a_good_annotation_stays_as_it_is():
  assert clean() == (annotation(), None)
  crowd = {'counts': [0, 600], 'size': [20, 30]}
  kept, _ = clean(iscrowd=1, segmentation={'counts': [0, 600], 'size': [20.0, 30.0], 'more': [[[]]]})
  assert json.dumps(kept['segmentation']) == json.dumps(crowd)
  assert clean(iscrowd=1, segmentation=crowd) == (annotation(iscrowd=1, segmentation=crowd), None)


@pytest.mark.parametrize('changes, kind', [
    ({'category_id': 2}, report.UNKNOWN_CATEGORY),
    ({'bbox': [2, 3, 0, 6]}, report.EMPTY_BOX),
    ({'bbox': [2, 3, 6, -1]}, report.EMPTY_BOX),
    ({'bbox': [2, 3, 6]}, report.EMPTY_BOX),
    ({'bbox': [2, 3, 6, float('nan')]}, report.EMPTY_BOX),
    ({'bbox': [2, 3, 6, '6']}, report.EMPTY_BOX),
    ({'bbox': [30, 3, 6, 6]}, report.OUTSIDE_BOX),
    ({'bbox': [2, -9, 6, 9]}, report.OUTSIDE_BOX),
    ({'segmentation': None}, report.EMPTY_MASK),
    ({'segmentation': []}, report.EMPTY_MASK),
    ({'segmentation': [[2, 3, 8, 9]]}, report.EMPTY_MASK),
    ({'segmentation': [[40, 3, 48, 3, 48, 9]]}, report.EMPTY_MASK),
    ({'segmentation': {'counts': [600], 'size': [20, 30]}}, report.EMPTY_MASK),
    ({'segmentation': {'counts': [0, 5], 'size': [20, 30]}}, report.EMPTY_MASK),
    ({'segmentation': [[0, 0, 1e5, 0, 0, 1e5] * 40_000]}, report.EMPTY_MASK),
    ({'segmentation': {'counts': 'o' * 10**6, 'size': [20, 30]}}, report.EMPTY_MASK),
    ({'segmentation': {'counts': '0' * 10**6, 'size': [20, 30]}}, report.EMPTY_MASK),
    ({'segmentation': {'counts': [0, True, 599], 'size': [20, 30]}}, report.EMPTY_MASK),
    ({'bbox': [2, 3, 10**400, 6]}, report.EMPTY_BOX),
    ({'bbox': [2, 3, True, 6]}, report.EMPTY_BOX),
    ({'bbox': [2, 3, 1e-9, 6]}, report.EMPTY_BOX),
    ({'bbox': '2, 3, 6, 6'}, report.EMPTY_BOX),
    ({'bbox': {}}, report.EMPTY_BOX),
    ({'iscrowd': '0'}, report.MALFORMED_ANNOTATION),
    ({'iscrowd': 2}, report.MALFORMED_ANNOTATION),
    ({'iscrowd': []}, report.MALFORMED_ANNOTATION)])
def test_what_is_dropped(changes, kind):
  assert clean(**changes) == (None, kind)


@pytest.mark.parametrize('box, clipped', [
    ([-1, 3, 9, 6], [0, 3, 8, 6]), ([2, -2.5, 6, 9], [2, 0, 6, 6.5]), ([25, 3, 60, 6], [25, 3, 5, 6]),
    ([2, 13, 6, 8], [2, 13, 6, 7]), ([-5, -5, 100, 100], [0, 0, 30, 20])])
def test_what_is_clipped(box, clipped):
  assert clean(bbox=box) == (annotation(bbox=clipped, area=36), report.CLIPPED_BOX)  # the area is the mask's: 6 x 6


def test_rounding_is_clipped_without_a_word():
  kept, problem = clean(bbox=[24.1, 3, 5.9 + 1e-9, 6])
  assert problem is None and kept['area'] == 35.5
  assert kept['bbox'][0] + kept['bbox'][2] <= 30 and kept['bbox'][2] == pytest.approx(5.9, abs=1e-8)


def test_clipped_boxes_pass_the_check_of_model_garden():
  """Which leaves out, without a word, what is outside by a rounding error."""
  for i in range(1, 2000):
    kept, _ = clean(bbox=[i * .01, i * .007, 100.3, 77.7])
    x, y, width, height = kept['bbox']
    assert x + width <= 30 and y + height <= 20 and width > 30 - x - 1e-9


def test_what_is_filled_in():
  assert clean(iscrowd=None)[0]['iscrowd'] == 0
  assert clean(area=None) == (annotation(area=36), None) and clean(area=0)[0]['area'] == 36
  assert clean(area=1e39)[0]['area'] == clean(area=10**400)[0]['area'] == clean(area=True)[0]['area'] == 36
  assert clean(segmentation=[*SQUARE, [0, 0, 1, 1]]) == (annotation(), None)  # no box is made of two corners
  assert clean(iscrowd=False)[0]['iscrowd'] == 0 and clean(iscrowd=True)[0]['iscrowd'] == 1


def test_a_missing_box_is_that_of_the_mask():
  assert clean(bbox=None) == (annotation(), report.DERIVED_BOX)
  runs = {'counts': [21, 1, 578], 'size': [20, 30]}  # the pixel in row 1 of column 1
  assert clean(bbox=None, segmentation=runs) == (annotation(bbox=[1, 1, 1, 1], segmentation=runs), report.DERIVED_BOX)
  assert clean(bbox=None, segmentation=[]) == (None, report.EMPTY_MASK)


def test_thousands_of_polygons_become_run_lengths():
  kept, problem = clean(segmentation=SQUARE * 5000)
  assert problem is None and kept['segmentation'].keys() == {'counts', 'size'}
  np.testing.assert_array_equal(decode_mask(kept['segmentation'], 20, 30), decode_mask(SQUARE, 20, 30))


@contextlib.contextmanager
def unlimited_integers():
  """Lets Python write an integer of more than 4,300 digits."""
  limit = sys.get_int_max_str_digits()
  sys.set_int_max_str_digits(0)
  yield
  sys.set_int_max_str_digits(limit)


def write(path, **changes):
  data = {'images': [IMAGE], 'annotations': [annotation()], 'categories': [{'id': 3, 'name': 'dog'}]} | changes
  path.write_text(json.dumps(data))
  return path


def test_read_coco(tmp_path):
  stray = annotation(image_id=8)
  path = write(tmp_path / 'a.json', annotations=[annotation(), stray, annotation(id=6)])
  coco = coco_annotations.read_coco(path)
  assert coco.images == (IMAGE,) and coco.category_names == {3: 'dog'}
  assert coco.annotations_by_image == {7: [annotation(), annotation(id=6)]} and coco.num_annotations == 3
  assert coco.problems == (report.Problem(report.UNKNOWN_IMAGE, 'annotation 5 of image 8'),)
  assert coco.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize('changes, message', [
    ({'images': []}, 'lists no images'),
    ({'images': None}, '`images` is missing'),
    ({'images': [IMAGE, IMAGE]}, '`images` has the same `id` twice'),
    ({'images': [IMAGE | {'id': 'x'}]}, r"`images\[0\].id` must be int, received 'x'"),
    ({'images': [IMAGE | {'width': 0}]}, r'no images that can be used: `images\[0\].width` must be at least 1'),
    ({'categories': {}}, '`categories` is missing or no list'),
    ({'categories': []}, 'lists no categories'),
    ({'categories': [{'id': 3, 'name': 'dog'}, {'id': 3, 'name': 'cat'}]}, '`categories` has the same `id` twice'),
    ({'categories': [{'id': True, 'name': 'dog'}]}, r'`categories\[0\].id` must be int, received True'),
    ({'categories': [{'id': 2**63, 'name': 'dog'}]}, r'`categories\[0\].id` must be int, received 9.22'),
    ({'categories': [{'id': 3}]}, r'`categories\[0\].name` must be str, received None')])
def test_files_that_are_not_cocos(tmp_path, changes, message):
  with pytest.raises(ValueError, match=f"`annotations` must be a JSON file .*a.json': .*{message}"):
    coco_annotations.read_coco(write(tmp_path / 'a.json', **changes))


@pytest.mark.parametrize('entry, fault', [
    ('x', "`annotations[1]` must be an object, received 'x'"),
    (annotation(image_id=None), '`annotations[1].image_id` must be int, received None'),
    (annotation(image_id=True), '`annotations[1].image_id` must be int, received True'),
    (annotation(category_id='3'), "`annotations[1].category_id` must be int, received '3'"),
    (annotation(category_id=10**5000), '`annotations[1].category_id` must be int, received inf'),
    (annotation(category_id=[3]), '`annotations[1].category_id` must be int, received list'),
    (annotation(more=deep(500)), '`annotations[1]` is nested more than 32 deep')])
def test_a_malformed_annotation_is_left_out(tmp_path, entry, fault):
  with unlimited_integers():
    path = write(tmp_path / 'a.json', annotations=[annotation(), entry, annotation(id=6)])
  coco = coco_annotations.read_coco(path)
  assert coco.problems == (report.Problem(report.MALFORMED_ANNOTATION, fault),)
  assert coco.annotations_by_image == {7: [annotation(), annotation(id=6)]} and coco.num_annotations == 3


def test_a_malformed_image_is_left_out(tmp_path):
  others = ['x', IMAGE | {'id': 2**63}, IMAGE | {'height': '20'}, IMAGE | {'width': -1}, {'id': 7}]
  coco = coco_annotations.read_coco(write(tmp_path / 'a.json', images=[*others, IMAGE]))
  assert coco.images == (IMAGE,) and coco.num_images == 6 and coco.annotations_by_image == {7: [annotation()]}
  assert [problem.kind for problem in coco.problems] == [report.MALFORMED_IMAGE] * 5
  assert coco.problems[2].name == "`images[2].height` must be int, received '20'"


def test_ids_are_any_64_bit_integers(tmp_path):
  least, most = -2**63, 2**63 - 1
  coco = coco_annotations.read_coco(write(
      tmp_path / 'a.json', categories=[{'id': i, 'name': str(i)} for i in (most, 0, least)],
      images=[IMAGE | {'id': least}], annotations=[annotation(image_id=least, category_id=most)]))
  assert coco.labels == {least: 1, 0: 2, most: 3} and not coco.problems
  assert coco.annotations_by_image == {least: [annotation(image_id=least, category_id=most)]}


def test_names_that_cannot_be_written(tmp_path):
  names = [{'id': 3, 'name': 'd\ud800og \ud83d\ude00'}]
  coco = coco_annotations.read_coco(write(tmp_path / 'a.json', categories=names))
  assert coco.category_names == {3: 'd\ufffdog \U0001f600'}


def test_files_that_are_nested_too_deeply(tmp_path):
  (tmp_path / 'a.json').write_text('[' * 10**5 + ']' * 10**5)
  with pytest.raises(ValueError, match="`annotations` must .*a.json': it is nested too deeply"):
    coco_annotations.read_coco(tmp_path / 'a.json')


@pytest.mark.parametrize('text, message', [('{"images": [', 'Expecting value'), ('[]', 'holds no object'),
                                           (None, 'No such file')])
def test_files_that_are_no_object(tmp_path, text, message):
  if text:
    (tmp_path / 'a.json').write_text(text)
  with pytest.raises(ValueError, match=f'`annotations` must .*{message}'):
    coco_annotations.read_coco(tmp_path / 'a.json')
