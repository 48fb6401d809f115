"""Conversion: Model Garden's decoder, parser and evaluator read what pycocotools reads of the annotations."""

import contextlib
import io
import json
import os
import shutil

import numpy as np
from official.vision.dataloaders.maskrcnn_input import Parser
from official.vision.evaluation.coco_evaluator import COCOEvaluator
from PIL import Image
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
import pytest
from rich.console import Console
import tensorflow as tf

from detection.data import conversion
from detection.data.conversion_report import ConversionProgress
from evonorm_tf.output.model_dir import lock
from tests.detection.tiny_coco import decode_records
from tests.detection.tiny_coco import HEIGHT
from tests.detection.tiny_coco import PROBLEMS
from tests.detection.tiny_coco import TINY_COCO
from tests.detection.tiny_coco import WIDTH
from tests.detection.tiny_coco import write_tiny_coco


def convert(images, annotations, output, **arguments):
  """Returns what is in the folder, and the text printed."""
  console = Console(file=io.StringIO(), width=200)
  return conversion.convert_coco(images, annotations, output, console=console, **arguments), console.file.getvalue()


def read_coco(path):
  with contextlib.redirect_stdout(io.StringIO()):
    return COCO(path)


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
  """Returns images, annotations, and the conversion: what is in the folder, its path, the text printed."""
  folder = tmp_path_factory.mktemp('tiny')
  images, annotations = write_tiny_coco(folder)
  return images, annotations, *convert(images, annotations, folder / 'out', images_per_shard=4), folder / 'out'


def assert_records_hold(info, coco):
  """Each record equals its image's annotations, as pycocotools reads them; no image is in it twice or missing."""
  seen = []
  for record in decode_records(info):
    image = coco.imgs[int(record['source_id'])]
    seen.append(image['id'])
    annotations = coco.loadAnns(coco.getAnnIds(image['id']))
    height, width = image['height'], image['width']
    assert record['image'].shape == (height, width, 3) and (record['height'], record['width']) == (height, width)
    boxes = np.array([[y, x, y + h, x + w] for x, y, w, h in (a['bbox'] for a in annotations)]).reshape(-1, 4)
    np.testing.assert_allclose(record['groundtruth_boxes'] * [height, width, height, width], boxes, atol=1e-3)
    classes = [info.category_ids[label] for label in record['groundtruth_classes'].tolist()]
    assert classes == [a['category_id'] for a in annotations]
    np.testing.assert_array_equal(record['groundtruth_is_crowd'], [a['iscrowd'] for a in annotations])
    np.testing.assert_allclose(record['groundtruth_area'], [a['area'] for a in annotations], rtol=1e-6)
    assert len(record['groundtruth_instance_masks']) == len(annotations)
    for mask, annotation in zip(record['groundtruth_instance_masks'], annotations):
      np.testing.assert_array_equal(mask, coco.annToMask(annotation))
  assert sorted(seen) == sorted(coco.imgs) and len(seen) == info.num_examples


def test_report(tiny):
  _, _, info, printed, output = tiny
  report = json.loads((output / 'report.json').read_text())
  assert report == {
      'images': 9, 'images_converted': 6, 'images_without_objects': 1, 'annotations': 15, 'annotations_converted': 9,
      'annotations_of_crowds': 2, 'problems': {k: {'count': 1, 'first': first} for k, first in PROBLEMS.items()}}
  assert info.num_examples == 6 and info.category_names == {1: 'cat', 4: 'dog'} and info.num_classes == 3
  assert info.category_ids == {1: 1, 2: 4} and info.class_names == {1: 'cat', 2: 'dog'}
  assert 'images 9/9, time left 0:00:00\n6 of 9 images converted' in printed
  assert '  images missing, left out: 1 (005.png)\n' in printed


def test_records_hold_what_the_annotation_file_says(tiny):
  _, _, info, _, _ = tiny
  assert_records_hold(info, read_coco(info.annotation_file))


def test_annotation_file_holds_the_good_annotations(tiny):
  _, annotations, info, _, _ = tiny
  before, after = json.loads(annotations.read_text()), read_coco(info.annotation_file)
  expected = [dict(a) for a in before['annotations'][:9]]
  expected[4] |= {'bbox': [0, 10, 16, 20], 'area': 320}  # of [-4, 10, 20, 20]
  key = lambda annotation: (annotation['image_id'], annotation['bbox'])
  found = [annotation | {'id': 0} for annotation in after.dataset['annotations']]
  assert sorted(found, key=key) == sorted([a | {'id': 0} for a in expected], key=key)
  assert sorted(after.anns) == list(range(1, 10))  # pycocotools takes an id of 0 for no match
  assert sorted(after.imgs) == [1, 2, 3, 4, 8, 9] and after.dataset['categories'] == before['categories']


@pytest.mark.parametrize('cat, dog, ids', [
    (74673216, 200000, {1: 200000, 2: 74673216}), (2**63 - 1, 0, {1: 0, 2: 2**63 - 1}),
    (-2**63, -7, {1: -2**63, 2: -7})])
def test_category_ids_are_labels_and_no_sizes(tmp_path, cat, dog, ids):
  info, _ = convert(*write_tiny_coco(tmp_path, cat, dog), tmp_path / 'out')
  assert info.category_ids == ids and info.num_classes == 3
  assert info.category_names == {cat: 'cat', dog: 'dog'} and info.class_names[1] == {cat: 'cat', dog: 'dog'}[ids[1]]
  assert_records_hold(info, read_coco(info.annotation_file))
  labels = np.concatenate([record['groundtruth_classes'] for record in decode_records(info)])
  assert sorted(set(labels.tolist())) == [1, 2] and (labels == {i: label for label, i in ids.items()}[cat]).sum() == 8


def test_a_complete_conversion_of_the_first_release_stays_as_it_is(tiny, tmp_path):
  images, annotations, info, _, finished = tiny
  output = shutil.copytree(finished, tmp_path / 'out')
  for name, change in (('settings.json', {'version': 1, 'orientation': None}),
                       ('data_info.json', {'category_ids': None})):
    data = json.loads((output / name).read_text()) | change
    (output / name).write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
  before = contents(output)
  again, _ = convert(images, annotations, output, images_per_shard=4)
  assert contents(output) == before and again.category_ids == {1: 1, 4: 4} and again.num_classes == 5
  (output / 'data_info.json').unlink()
  with pytest.raises(ValueError, match='`version` is 2 here and 1 there. Give this conversion an `output` of its own'):
    convert(images, annotations, output, images_per_shard=4)


def test_parser_of_model_garden(tiny):
  info = tiny[2]
  parser = Parser([64, 64], 2, 4, 1, [1.], 4., max_num_instances=5, include_mask=True, mask_crop_size=16)
  records = {int(record['source_id']): record for record in decode_records(info)}
  image, labels = parser._parse_train_data({name: tf.constant(value) for name, value in records[9].items()})
  scale = labels['image_info'][2].numpy()
  assert image.shape == (64, 64, 3) and labels['gt_classes'].numpy().tolist() == [1, 1, -1, -1, -1]  # not the crowd
  expected = np.array([[13, 12, 28, 26], [2, 1, 6, 4]]) * np.tile(scale, 2)
  np.testing.assert_allclose(labels['gt_boxes'][:2], expected, rtol=1e-5)
  assert np.mean(labels['gt_masks'][0]) > .9  # the square fills its box
  _, labels = parser._parse_train_data({name: tf.constant(value) for name, value in records[4].items()})
  assert set(labels['gt_classes'].numpy()) == {-1}  # no objects


def test_evaluator_of_model_garden(tiny):
  """Predictions that are the truth have an average precision of 1, crowds aside."""
  info = tiny[2]
  with contextlib.redirect_stdout(io.StringIO()):
    evaluator = COCOEvaluator(info.annotation_file, include_mask=False)
    for record in decode_records(info):
      shape, number = record['image'].shape[:2], len(record['groundtruth_classes'])
      pad = lambda values: np.concatenate([values, np.zeros((5 - number, *values.shape[1:]))])[np.newaxis]
      evaluator.update_state(None, tf.nest.map_structure(tf.constant, {
          'source_id': np.array([int(record['source_id'])]), 'num_detections': np.array([number]),
          'detection_boxes': pad(record['groundtruth_boxes'] * [*shape, *shape]),
          'detection_classes': pad(np.array([info.category_ids[c] for c in record['groundtruth_classes']], int)),
          'detection_scores': pad(np.ones(number)),
          'image_info': np.array([[shape, shape, [1, 1], [0, 0]]], np.float32)}))
    assert evaluator.result()['AP'] == pytest.approx(1)


def test_an_interrupted_conversion_goes_on(tiny, tmp_path, monkeypatch):
  images, annotations, _, _, finished = tiny
  advance, left = ConversionProgress.advance, iter(range(6))
  monkeypatch.setattr(ConversionProgress, 'advance', lambda self: (next(left), advance(self)))
  with pytest.raises(StopIteration):
    convert(images, annotations, tmp_path, images_per_shard=4)
  done = {name: content for name, content in contents(tmp_path).items() if name.endswith('.tfrecord')}
  assert len(done) == 2 and not (tmp_path / 'data_info.json').exists()
  monkeypatch.setattr(ConversionProgress, 'advance', advance)
  times = {name: (tmp_path / name).stat().st_mtime_ns for name in done}
  _, printed = convert(images, annotations, tmp_path, images_per_shard=4)
  assert 'images 7/9' in printed and 'images 1/9' not in printed  # of 3 shards of 3 two were done
  assert contents(tmp_path) == contents(finished)
  assert times == {name: (tmp_path / name).stat().st_mtime_ns for name in done}


def test_a_finished_conversion_is_only_told_again(tiny, monkeypatch):
  images, annotations, info, printed, output = tiny
  before = contents(output)
  monkeypatch.delattr(conversion._Shard, 'convert')
  for folder in (images, images / 'which was removed'):
    again, printed_again = convert(folder, annotations, output, images_per_shard=4)
    assert again == info and contents(output) == before and printed.endswith(printed_again)


def test_refusals(tiny, tmp_path):
  images, annotations, _, _, output = tiny
  with pytest.raises(ValueError, match='`images_per_shard` is 3 here and 4 there. Give this conversion an `output`'):
    convert(images, annotations, output, images_per_shard=3)
  other = tmp_path / 'other.json'
  other.write_text(annotations.read_text() + ' ')
  with pytest.raises(ValueError, match='`annotations_sha256` is '):
    convert(images, other, output, images_per_shard=4)
  with open(output / '.lock', 'w', encoding='utf-8') as file:
    lock(file, 'conversion')
    with pytest.raises(ValueError, match='another process is running this conversion. .* an `output` of its own'):
      convert(images, annotations, output, images_per_shard=4)
  with pytest.raises(ValueError, match="`output` must be a new or empty folder, .* holds 'other.json'"):
    convert(images, annotations, tmp_path)


@pytest.mark.parametrize('change, message', [
    ({'images': 'absent'}, "`images` must be a folder, received '.*absent'"),
    ({'images': '.'}, '`images` must be the folder of .*: of 9 it has none, such as .001.png'),
    ({'annotations': 'absent.json'}, '`annotations` must be a JSON file .*No such file'),
    ({'images_per_shard': 0}, '`images_per_shard` must be an integer from 1 on, received 0')])
def test_wrong_arguments_fail_before_any_work(tiny, tmp_path, change, message):
  arguments = {'images': tiny[0], 'annotations': tiny[1], 'output': tmp_path / 'out'} | {
      name: tmp_path / value if isinstance(value, str) else value for name, value in change.items()}
  with pytest.raises(ValueError, match=message):
    convert(**arguments)
  assert not (tmp_path / 'out').exists()


def test_odd_names_and_entries_do_not_end_a_conversion(tmp_path):
  images, path = write_tiny_coco(tmp_path)
  data = json.loads(path.read_text())
  name = os.fsdecode(b'not \xff UTF-8.png')
  (images / data['images'][0]['file_name']).rename(images / name)
  data['images'][0]['file_name'] = name  # image 1 with annotations 1 and 2
  extra = [{'id': 20 + i, 'file_name': odd, 'height': HEIGHT, 'width': WIDTH}
           for i, odd in enumerate(('x' * 5000, '\ud800', 'a\0b', '.', ''))]
  data['images'] += [*extra, {'id': 30}]
  del data['annotations'][0]['bbox']
  data['annotations'] += [{'image_id': 1}, None]
  data['categories'][0]['name'] = 'c\ud800t'
  path.write_text(json.dumps(data))
  info, printed = convert(images, path, tmp_path / 'out')
  report = json.loads((tmp_path / 'out' / 'report.json').read_text())
  found = {kind: problem['count'] for kind, problem in report['problems'].items()}
  assert found == {**dict.fromkeys(PROBLEMS, 1), 'missing_image': 6, 'malformed_image': 1, 'malformed_annotation': 2,
                   'derived_box': 1}
  assert (report['images'], report['images_converted'], report['annotations_converted']) == (15, 6, 9)
  assert '  annotations without a box, which becomes that of the mask: 1 (annotation 1 of not ' in printed
  coco = read_coco(info.annotation_file)
  assert_records_hold(info, coco)
  assert info.category_names == {1: 'c\ufffdt', 4: 'dog'} and coco.imgs[1]['file_name'] == name
  box, = (a['bbox'] for a in coco.anns.values() if a['image_id'] == 1 and a['category_id'] == 1)
  assert box == mask_api.toBbox(coco.annToRLE({'image_id': 1, 'segmentation': data['annotations'][0]['segmentation']})
                                ).tolist()


def write_photographs(folder):
  """Writes pairs (stored picture, orientation), whose object is the bright quarter of the picture, and annotations.

  The annotations of a.jpg to c.jpg fit both ways, those of d.jpg mean the stored pixels, those of e.jpg the turned
  ones; f.jpg has no orientation, and g.jpg fits neither way.
  """
  images = folder / 'images'
  images.mkdir()
  stored_box, data = [0, 0, WIDTH // 2, HEIGHT // 2], {'images': [], 'annotations': []}
  for number, (name, orientation, size) in enumerate([
      ('a', 2, (HEIGHT, WIDTH)), ('b', 3, (HEIGHT, WIDTH)), ('c', 4, (HEIGHT, WIDTH)), ('d', 6, (HEIGHT, WIDTH)),
      ('e', 8, (WIDTH, HEIGHT)), ('f', 1, (HEIGHT, WIDTH)), ('g', 6, (HEIGHT, HEIGHT))], start=1):
    pixels = np.full([HEIGHT, WIDTH, 3], 20, np.uint8)
    pixels[:HEIGHT // 2, :WIDTH // 2] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(images / f'{name}.jpg', exif=exif, quality=100)
    data['images'].append({'id': number, 'file_name': f'{name}.jpg', 'height': size[0], 'width': size[1]})
    box = [0, WIDTH // 2, HEIGHT // 2, WIDTH // 2] if name == 'e' else stored_box  # turned, e is bright at the bottom
    x, y, w, h = box
    data['annotations'].append({'id': number, 'image_id': number, 'category_id': 1, 'bbox': box, 'segmentation': [
        [x, y, x + w, y, x + w, y + h, x, y + h]]})
  path = folder / 'annotations.json'
  path.write_text(json.dumps(data | {'categories': [{'id': 1, 'name': 'bright'}]}))
  return images, path


@pytest.mark.parametrize('orientation, corners', [
    ('turned', {1: (0, 1), 2: (1, 1), 3: (1, 0), 4: (0, 0), 5: (1, 0), 6: (0, 0)}),
    ('stored', {1: (0, 0), 2: (0, 0), 3: (0, 0), 4: (0, 0), 5: (1, 0), 6: (0, 0)})])
def test_photographs_are_turned_where_the_annotations_mean_that(tmp_path, orientation, corners):
  """`corners`: in which half, by row and by column, each picture is bright."""
  info, printed = convert(*write_photographs(tmp_path), tmp_path / 'out', orientation=orientation)
  report = json.loads((tmp_path / 'out' / 'report.json').read_text())
  found = {kind: problem['first'] for kind, problem in report['problems'].items()}
  assert found == {
      'wrong_size': ['g.jpg'], 'stored_by_size': ['d.jpg'], 'turned_by_size': ['e.jpg'],
      f'{orientation}_by_choice': ['a.jpg', 'b.jpg', 'c.jpg']}
  assert '  images turned as their EXIF orientation says, for only so they have the size in the annotations: 1' in (
      printed)
  assert_records_hold(info, read_coco(info.annotation_file))
  for record in decode_records(info):
    image = record['image'].astype(int)
    row, column = corners[int(record['source_id'])]
    height, width = image.shape[0] // 2, image.shape[1] // 2
    halves = image[:2 * height, :2 * width].reshape(2, height, 2, width, 3).mean(axis=(1, 3, 4))
    assert np.argwhere(halves > 150).tolist() == [[row, column]]
    if int(record['source_id']) > 3 or orientation == 'stored':  # the box lies where the picture is bright
      top, left = record['groundtruth_boxes'][0, :2]
      assert (top > .4, left > .4) == (row == 1, column == 1)


def test_the_choice_is_a_setting_of_the_conversion(tmp_path):
  images, annotations = write_photographs(tmp_path)
  convert(images, annotations, tmp_path / 'out')
  with pytest.raises(ValueError, match="`orientation` is 'stored' here and 'turned' there"):
    convert(images, annotations, tmp_path / 'out', orientation='stored')
  with pytest.raises(ValueError, match="`orientation` must be one of .*'turned', 'stored'.*, received 'upright'"):
    convert(images, annotations, tmp_path / 'new', orientation='upright')
  assert not (tmp_path / 'new').exists()


def test_the_jpeg_library_prints_nothing(tmp_path, capfd):
  images, annotations = write_tiny_coco(tmp_path)
  data = (images / '002.jpg').read_bytes()
  start = data.index(b'\xff\xc0') + 5  # height and width
  (images / '002.jpg').write_bytes(data[:start] + b'\xff' * 4 + data[start + 4:])
  convert(images, annotations, tmp_path / 'out')
  report = json.loads((tmp_path / 'out' / 'report.json').read_text())
  assert report['problems']['broken_image']['first'] == ['002.jpg', '006.jpg']
  assert 'image dimension' not in capfd.readouterr().err


def test_nothing_to_convert(tmp_path):
  images, annotations = write_tiny_coco(tmp_path)
  for path in images.iterdir():
    path.write_text('no image')
  with pytest.raises(ValueError, match=r'No image could be converted.*\n.*\n  images missing, left out: 1'):
    convert(images, annotations, tmp_path / 'out')


@pytest.mark.skipif(not TINY_COCO.exists(), reason='real COCO images are not there')
@pytest.mark.parametrize('split, images, annotations, crowds', [('train', 32, 288, 4), ('val', 6, 136, 1)])
def test_real_coco(tmp_path, split, images, annotations, crowds):
  path = TINY_COCO / 'annotations' / f'instances_{split}2017.json'
  info, _ = convert(TINY_COCO / 'images' / f'{split}2017', path, tmp_path, images_per_shard=12)
  report = json.loads((tmp_path / 'report.json').read_text())
  assert not report['problems'] and report['annotations_of_crowds'] == crowds
  assert (report['images_converted'], report['annotations_converted']) == (images, annotations)
  assert len(info.category_names) == 80 and info.num_classes == 81
  assert (info.category_ids[12], info.category_ids[80]) == (13, 90)  # COCO has no 12
  assert_records_hold(info, read_coco(path))  # nothing has changed, by COCO's own file
