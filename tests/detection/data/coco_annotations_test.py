"""What is made of annotations by hand-worked cases, and files that are not COCO's."""

import hashlib
import json

import pytest

from detection.data import coco_annotations
from detection.data import conversion_report as report

IMAGE = {'id': 7, 'file_name': 'a.png', 'height': 20, 'width': 30}
NAMES = {1: 'cat', 3: 'dog'}
SQUARE = [[2, 3, 8, 3, 8, 9, 2, 9]]


def annotation(**changes):
  """A good one, with changes; those that are None are left out."""
  fields = {'id': 5, 'image_id': 7, 'category_id': 3, 'iscrowd': 0, 'bbox': [2, 3, 6, 6], 'area': 35.5,
            'segmentation': SQUARE} | changes
  return {name: value for name, value in fields.items() if value is not None}


def clean(**changes):
  """Returns the one annotation that is left, or None, and the one problem's kind, or None."""
  kept, problems = coco_annotations.clean_annotations(IMAGE, [annotation(**changes)], NAMES)
  assert all(problem.name == 'annotation 5 of a.png' for problem in problems)
  assert len(kept) < 2 and len(problems) < 2
  return (kept or [None])[0], problems[0].kind if problems else None


def test_a_good_annotation_stays_as_it_is():
  assert clean() == (annotation(), None)
  crowd = {'counts': [0, 600], 'size': [20, 30]}
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
    ({'segmentation': {'counts': [0, 5], 'size': [20, 30]}}, report.EMPTY_MASK)])
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
  assert clean(segmentation=[*SQUARE, [0, 0, 1, 1]]) == (annotation(), None)  # no box is made of two corners


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
    ({'images': [IMAGE | {'width': 0}]}, 'image 7 is 0x20 pixels'),
    ({'annotations': [annotation(), annotation(bbox=None)]}, r'`annotations\[1\].bbox` must be list, received None'),
    ({'annotations': ['x']}, r"`annotations\[0\].image_id` must be int, received 'x'"),
    ({'categories': {}}, '`categories` is missing or no list'),
    ({'categories': [{'id': 0, 'name': 'dog'}]}, "background is 0; 'dog' has 0")])
def test_files_that_are_not_cocos(tmp_path, changes, message):
  with pytest.raises(ValueError, match=f"`annotations` must be a JSON file .*a.json': .*{message}"):
    coco_annotations.read_coco(write(tmp_path / 'a.json', **changes))


@pytest.mark.parametrize('text, message', [('{"images": [', 'Expecting value'), ('[]', 'holds no object'),
                                           (None, 'No such file')])
def test_files_that_are_no_object(tmp_path, text, message):
  if text:
    (tmp_path / 'a.json').write_text(text)
  with pytest.raises(ValueError, match=f'`annotations` must .*{message}'):
    coco_annotations.read_coco(tmp_path / 'a.json')
