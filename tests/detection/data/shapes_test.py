"""The shapes data: files against the scenes, by pycocotools and Model Garden's decoder; what is there is taken."""

import contextlib
import io
import json

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
import pytest
from rich.console import Console

from detection.data import shapes
from detection.data.shape_scenes import draw_scene
from detection.data.shapes import write_shapes
from evonorm_tf.output.model_dir import lock
from tests.detection.tiny_coco import decode_records

ARGUMENTS = {'train': 8, 'validation': 3, 'size': 64, 'seed': 5}


def write(folder, **changes):
  return write_shapes(folder, console=Console(file=io.StringIO()), **ARGUMENTS | changes)


def modified(folder):
  return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('shapes')
  return folder, write(folder)


@pytest.mark.parametrize('split, images', [('train', 8), ('val', 3)])
def test_files_hold_the_scenes(data, split, images):
  folder, infos = data
  with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO(folder / 'annotations' / f'instances_{split}.json')
  records = {int(record['source_id']): record for record in decode_records(infos[split == 'val'])}
  assert sorted(coco.imgs) == sorted(records) == list(range(1, images + 1))
  for image_id, image in coco.imgs.items():
    scene = draw_scene(5, image_id - 1 + (10 ** 6 if split == 'val' else 0), 64)
    np.testing.assert_array_equal(Image.open(folder / 'images' / split / image['file_name']), scene.image)
    np.testing.assert_array_equal(records[image_id]['image'], scene.image)
    np.testing.assert_array_equal(records[image_id]['groundtruth_classes'], scene.class_ids)
    np.testing.assert_array_equal(records[image_id]['groundtruth_instance_masks'], scene.masks)
    annotations = coco.loadAnns(coco.getAnnIds(image_id))
    assert [annotation['category_id'] for annotation in annotations] == scene.class_ids.tolist()
    for annotation, mask, box in zip(annotations, scene.masks, records[image_id]['groundtruth_boxes']):
      np.testing.assert_array_equal(coco.annToMask(annotation), mask)
      rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
      x, y, width, height = columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1
      assert annotation['bbox'] == [x, y, width, height] and annotation['area'] == mask.sum()
      np.testing.assert_allclose(box * 64, [y, x, y + height, x + width], atol=1e-4)


def test_what_a_trainer_reads(data):
  train, validation = data[1]
  assert (train.num_examples, validation.num_examples, train.num_classes) == (8, 3, 6)
  assert train.category_names == {1: 'circle', 2: 'square', 3: 'triangle', 4: 'star', 5: 'ring'}
  with open(validation.annotation_file, encoding='utf-8') as file:
    assert len(json.load(file)['images']) == 3


def test_finished_data_are_taken_also_while_they_are_in_use(data):
  folder, infos = data
  before = modified(folder)
  with open(folder / '.lock', encoding='utf-8') as file:
    lock(file, 'test')
    assert write(folder) == infos
  assert modified(folder) == before


def test_an_interrupted_generation_goes_on(data, tmp_path, monkeypatch):
  """Killed in the midst of the validation images."""
  def draw_some(seed, index, size):
    if index == 10 ** 6 + 2:
      raise KeyboardInterrupt
    return draw_scene(seed, index, size)
  monkeypatch.setattr(shapes, 'draw_scene', draw_some)
  with pytest.raises(KeyboardInterrupt):
    write(tmp_path)
  monkeypatch.undo()
  before = modified(tmp_path)
  write(tmp_path)
  after = modified(tmp_path)
  kept = [path for path in before if '/train/' in str(path) and path.name != '.lock' or 'train.json' in path.name]
  assert len(kept) == 8 + 1 + 5 and all(before[path] == after[path] for path in kept)
  assert {path.relative_to(tmp_path): path.read_bytes() for path in after} == {
      path.relative_to(data[0]): path.read_bytes() for path in modified(data[0])}


def test_refusals(data):
  folder, _ = data
  with pytest.raises(ValueError, match='`seed` is 6 here and 5 there. Give this preparation of shapes a `folder`'):
    write(folder, seed=6)
  for changes, message in [({'train': 0}, '`train` must be an integer from 1 to 1000000, received 0'),
                           ({'size': 32}, '`size` must be an integer from 64'),
                           ({'seed': -1}, '`seed` must be an integer from 0'),
                           ({'validation': 2.5}, '`validation` must be .* received 2.5')]:
    with pytest.raises(ValueError, match=message):
      write(folder, **changes)
