"""A small data set in COCO's format with everything wrong that a conversion reports; and what reads records back."""

import json
import pathlib

import numpy as np
from official.vision.dataloaders.tf_example_decoder import TfExampleDecoder
from PIL import Image
import tensorflow as tf

TINY_COCO = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'coco_tiny'
HEIGHT, WIDTH = 40, 60
_CROWD = {'counts': [0, 100, HEIGHT * WIDTH - 100], 'size': [HEIGHT, WIDTH]}
_RUNS = {'counts': [80, 30, HEIGHT * WIDTH - 110], 'size': [HEIGHT, WIDTH]}


def _annotation(number, image_id, box, segmentation=None, **changes):
  x, y, width, height = box
  corners = [[x, y, x + width, y, x + width, y + height, x, y + height]]
  return {'id': number, 'image_id': image_id, 'category_id': 1, 'bbox': box, 'area': width * height, 'iscrowd': 0,
          'segmentation': corners if segmentation is None else segmentation} | changes


def write_tiny_coco(folder, cat=1, dog=4):
  """Writes images and annotations.json; returns both paths. Images 1 to 4, 8, 9 and annotations 1 to 9 are good.

  Args:
    folder: receives them.
    cat, dog: the ids of the categories; all annotations but the second and the twelfth are of cats.
  """
  images = folder / 'images'
  images.mkdir(parents=True)
  rng = np.random.default_rng(0)
  names = {n: f'{n:03d}.{"png" if n % 2 else "jpg"}' for n in range(1, 10)}
  for number, name in names.items():
    size = (HEIGHT, WIDTH + (number == 7), 3)
    Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(images / name)
  (images / names[5]).unlink()
  (images / names[6]).write_bytes((images / names[6]).read_bytes()[:700])
  annotations = [
      _annotation(1, 1, [3.5, 4.25, 20, 11.5]), _annotation(2, 1, [10, 0, 50, 40], category_id=4),
      _annotation(3, 2, [0, 0, 3, 40], _CROWD, iscrowd=1), _annotation(4, 2, [2, 0, 1, 30], _RUNS),
      _annotation(5, 3, [-4, 10, 20, 20]), _annotation(6, 9, [12, 13, 14, 15]), _annotation(7, 9, [1, 2, 3, 4]),
      _annotation(8, 8, [20, 20, 9, 9], [[20, 20, 29, 20, 29, 29], [50, 5, 55, 5, 50, 9]]),
      _annotation(9, 9, [0, 0, 4, 40], iscrowd=1), _annotation(10, 6, [1, 1, 9, 9]), _annotation(11, 77, [1, 1, 9, 9]),
      _annotation(12, 1, [1, 1, 9, 9], category_id=2), _annotation(13, 1, [1, 1, 0, 9]),
      _annotation(14, 2, [70, 1, 9, 9]), _annotation(15, 3, [1, 1, 9, 9], [])]
  for annotation in annotations:
    annotation['category_id'] = {1: cat, 4: dog}.get(annotation['category_id'], 2)
  data = {'images': [{'id': n, 'file_name': name, 'height': HEIGHT, 'width': WIDTH} for n, name in names.items()],
          'annotations': annotations, 'categories': [{'id': cat, 'name': 'cat'}, {'id': dog, 'name': 'dog'}]}
  path = folder / 'annotations.json'
  path.write_text(json.dumps(data))
  return images, path


PROBLEMS = {
    'missing_image': ['005.png'], 'broken_image': ['006.jpg'], 'wrong_size': ['007.png'],
    'unknown_image': ['annotation 11 of image 77'], 'unknown_category': ['annotation 12 of 001.png'],
    'empty_box': ['annotation 13 of 001.png'], 'outside_box': ['annotation 14 of 002.jpg'],
    'clipped_box': ['annotation 5 of 003.png'], 'empty_mask': ['annotation 15 of 003.png']}


def decode_records(info):
  """Yields what Model Garden's decoder makes of each record, as NumPy."""
  files = tf.io.gfile.glob(info.records)
  for record in tf.data.TFRecordDataset(sorted(files)):
    yield {name: value.numpy() for name, value in TfExampleDecoder(include_mask=True).decode(record).items()}
