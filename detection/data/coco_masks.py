"""COCO's segmentations as masks and back. Unlike pycocotools, which it uses, this module survives malformed ones.

Given those, pycocotools returns whatever is in memory (run lengths that do not fill the image) or a box (a polygon of
two corners), or crashes (corners far away).
"""

import math
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from evonorm_tf.errors import ArgumentError

_FURTHEST = 10 ** 5  # pixels


def is_number(value: Any) -> bool:
  """Returns whether a JSON value is a finite number."""
  return isinstance(value, (int, float)) and math.isfinite(value)


def is_polygon(polygon: Any) -> bool:
  """Returns whether a JSON value is a polygon [x1, y1, x2, y2, ...] with at least three corners."""
  return (isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
          and all(is_number(value) and abs(value) <= _FURTHEST for value in polygon))


def decode_mask(segmentation: list | dict[str, Any], height: int, width: int) -> np.ndarray:
  """Returns the mask of a segmentation.

  Args:
    segmentation: polygons, see `is_polygon`, or COCO's run lengths {'counts', 'size'}, compressed or not.
    height: of the image, in pixels.
    width: of the image, in pixels.

  Returns:
    uint8 `[height, width]` of 0 and 1.

  Raises:
    ArgumentError: if run lengths are malformed or do not fit the image.
  """
  if isinstance(segmentation, list):
    return mask_api.decode(mask_api.merge(mask_api.frPyObjects(segmentation, height, width)))
  counts = segmentation.get('counts')
  if isinstance(counts, str):
    counts = _decompress(counts.encode('ascii'))
  lengths = isinstance(counts, list) and all(isinstance(count, int) and count >= 0 for count in counts)
  if segmentation.get('size') != [height, width] or not lengths or sum(counts) != height * width:
    raise ArgumentError(f'`segmentation` must have run lengths of an image of {height}x{width} pixels.')
  columns = np.repeat(np.arange(len(counts)) % 2, counts).astype(np.uint8)
  return columns.reshape(width, height).T


def _decompress(text: bytes) -> list[int]:
  """Returns run lengths.

  Each character holds five bits, the lowest first, and a sixth that is set if more follow. From the fourth run on they
  are differences to the last but one.
  """
  counts, value, shift = [], 0, 0
  for character in text:
    bits = character - ord('0')
    value |= (bits & 31) << shift
    shift += 5
    if not bits & 32:
      if bits & 16:  # negative
        value -= 1 << shift
      counts.append(value + (counts[-2] if len(counts) > 2 else 0))
      value = shift = 0
  return counts


def encode_mask(mask: np.ndarray) -> dict[str, list[int]]:
  """Returns COCO's run lengths of a mask `[height, width]`, uncompressed: down the columns, beginning with zeros."""
  columns = np.asarray(mask, bool).ravel(order='F')
  borders = np.flatnonzero(np.diff(columns)) + 1
  runs = np.diff(np.concatenate([[0], borders, [columns.size]]))
  return {'counts': [0] * int(columns[0]) + runs.tolist(), 'size': list(mask.shape)}


def compress_mask(mask: np.ndarray) -> dict[str, Any]:
  """Returns COCO's run lengths of a mask `[height, width]`, compressed to a string, ready for JSON."""
  run_lengths = mask_api.encode(np.asfortranarray(mask, np.uint8))
  return {'size': [int(n) for n in run_lengths['size']], 'counts': run_lengths['counts'].decode('ascii')}
