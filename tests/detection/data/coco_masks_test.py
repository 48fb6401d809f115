"""Masks against pycocotools where it is to be relied on, and malformed ones where it is not."""

import numpy as np
from pycocotools import mask as mask_api
import pytest

from detection.data import coco_masks


def random_masks():
  """Of all sizes and densities, empty and full ones too."""
  rng = np.random.default_rng(0)
  for density in (0, .02, .5, .98, 1):
    for _ in range(20):
      height, width = rng.integers(1, 60, 2)
      yield (rng.random((height, width)) < density).astype(np.uint8)


def test_run_lengths_are_those_of_pycocotools():
  for mask in random_masks():
    compressed = mask_api.encode(np.asfortranarray(mask))
    compressed = {'size': [int(n) for n in compressed['size']], 'counts': compressed['counts'].decode()}
    runs = coco_masks.encode_mask(mask)
    np.testing.assert_array_equal(coco_masks.decode_mask(compressed, *mask.shape), mask)
    np.testing.assert_array_equal(coco_masks.decode_mask(runs, *mask.shape), mask)
    np.testing.assert_array_equal(mask_api.decode(mask_api.frPyObjects(runs, *mask.shape)), mask)


def test_polygons_are_united():
  square, low = [1, 1, 4, 1, 4, 4, 1, 4], [0, 3, 6, 3, 6, 5, 0, 5]
  expected = np.zeros((6, 8), np.uint8)
  expected[1:4, 1:4] = expected[3:5, :6] = 1
  np.testing.assert_array_equal(coco_masks.decode_mask([square, low], 6, 8), expected)


@pytest.mark.parametrize('runs', [
    {'counts': [1, 2, 3], 'size': [4, 5]}, {'counts': [10 ** 9], 'size': [4, 5]}, {'counts': [-5, 25], 'size': [4, 5]},
    {'counts': ['a'], 'size': [4, 5]}, {'counts': [19.5, .5], 'size': [4, 5]}, {'counts': '!!', 'size': [4, 5]},
    {'counts': '', 'size': [4, 5]}, {'counts': 'é', 'size': [4, 5]}, {'counts': None, 'size': [4, 5]},
    {'counts': [20]}, {'size': [4, 5]}, {'counts': [20], 'size': [5, 4]}, {'counts': [20], 'size': 20}, {}])
def test_malformed_run_lengths(runs):
  with pytest.raises(ValueError):
    coco_masks.decode_mask(runs, 4, 5)


@pytest.mark.parametrize('change', [lambda counts: counts + 'P', lambda counts: counts + '\0', lambda c: 'p' + c[1:]])
def test_malformed_compressed_run_lengths(change):
  """The first is without an end, the others are not of the format."""
  runs = coco_masks.compress_mask(np.eye(4, 5))
  np.testing.assert_array_equal(coco_masks.decode_mask(runs, 4, 5), np.eye(4, 5))
  with pytest.raises(ValueError, match='`segmentation` must have run lengths'):
    coco_masks.decode_mask(runs | {'counts': change(runs['counts'])}, 4, 5)


def test_is_polygon():
  assert coco_masks.is_polygon([0, 0, 1, 0, 1, 1]) and coco_masks.is_polygon([-3.5, 0, 1e4, 0, 1, 1, 0, 9])
  for other in ([0, 0, 1, 1], [0, 0, 1, 0, 1, 1, 1], [0, 0, 1, 0, 1, float('nan')], [0, 0, 1, 0, 1, None],
                [0, 0, 1e9, 0, 1e9, 1e9], [], None, 'polygon', {'counts': []}):
    assert not coco_masks.is_polygon(other)


def test_numbers():
  assert all(map(coco_masks.is_number, (0, -3.5, 10**300)))
  assert not any(map(coco_masks.is_number, (10**400, float('nan'), float('inf'), True, '3', None, [])))


def test_a_hundred_thousand_corners_and_many_polygons():
  angle = np.linspace(0, 2 * np.pi, 100_000)
  circle = np.stack([30 + 20 * np.cos(angle), 25 + 20 * np.sin(angle)], axis=1).ravel().tolist()
  assert coco_masks.decode_mask([circle], 50, 60).sum() == pytest.approx(np.pi * 20**2, rel=.02)
  squares = [[x, y, x + 1, y, x + 1, y + 1, x, y + 1] for x in range(0, 60, 2) for y in range(0, 50, 2)]
  expected = np.zeros([50, 60])
  expected[::2, ::2] = 1
  np.testing.assert_array_equal(coco_masks.decode_mask(squares, 50, 60), expected)


def test_outlines_of_kilometres():
  with pytest.raises(ValueError, match='`segmentation` must have outlines of at most 3000000 pixels, received 1'):
    coco_masks.decode_mask([[0, 0, 1e5, 0, 0, 1e5] * 40_000], 50, 60)
