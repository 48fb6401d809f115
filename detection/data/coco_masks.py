"""Conversion between COCO's segmentations and mask arrays, with checks for malformed segmentations.

COCO stores the mask of an object as a segmentation: either a list of polygons or run lengths, the numbers of
consecutive pixels outside and inside the object, column by column. This module uses pycocotools and guards it against
input that it does not check. From run lengths that do not fill the image, pycocotools makes a mask out of whatever is
in memory; from a polygon with two corners, a box; and corners far outside the image crash it. The time and memory that
it takes for a polygon grow with the length of the outline, whatever the size of the image, and the time for merging
polygons with the square of their number.
"""

import math
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from evonorm_tf.errors import ArgumentError

_FURTHEST = 10 ** 5  # pixels, the greatest coordinate of a polygon that is accepted
_LONGEST = 3 * 10 ** 6  # pixels, the greatest length of all outlines of an object; pycocotools takes 0.7 s and 140 MB
_MERGED = 64  # polygons that are merged at once
_CHARACTERS = 13  # of a run length in compressed form, at most; 5 bits each make more than 64


def is_number(value: Any) -> bool:
  """Returns whether a JSON value is a number, neither true nor false, and finite as a float.

  Args:
    value: any value that `json.loads` returns.
  """
  try:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
  except OverflowError:  # an integer beyond the greatest float
    return False


def is_polygon(polygon: Any) -> bool:
  """Returns whether a JSON value is a well-formed polygon.

  Args:
    polygon: any value that `json.loads` returns. A well-formed polygon is a list [x1, y1, x2, y2, ...] of at least
      three corners, in pixels, with finite coordinates from -100,000 to 100,000.
  """
  return (isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
          and all(is_number(value) and abs(value) <= _FURTHEST for value in polygon))


def decode_mask(segmentation: list | dict[str, Any], height: int, width: int) -> np.ndarray:
  """Converts a segmentation to a mask.

  Args:
    segmentation: a list of polygons, each of which must satisfy `is_polygon`, or COCO's run lengths, a dict with
      `counts` (a list of integers, or a string as from `compress_mask`) and `size` ([height, width]).
    height: the height of the image in pixels.
    width: the width of the image in pixels.

  Returns:
    The mask, uint8 `[height, width]`: 1 inside the object, 0 outside.

  Raises:
    ArgumentError: if run lengths are malformed or do not fit the size of the image, or if the outlines of the polygons
      are longer than 3,000,000 pixels together.
  """
  if isinstance(segmentation, list):
    return _fill(segmentation, height, width)
  counts = segmentation.get('counts')
  if isinstance(counts, str):
    counts = _decompress(counts.encode('ascii'))
  lengths = isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts)
  if segmentation.get('size') != [height, width] or not lengths or sum(counts) != height * width:
    raise ArgumentError(f'`segmentation` must have run lengths of an image of {height}x{width} pixels.')
  columns = np.repeat(np.arange(len(counts)) % 2, counts).astype(np.uint8)
  return columns.reshape(width, height).T


def _fill(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
  """Returns the mask of the union of polygons, uint8 `[height, width]`."""
  length = sum(_outline(polygon) for polygon in polygons)
  if length > _LONGEST:
    raise ArgumentError(f'`segmentation` must have outlines of at most {_LONGEST} pixels, received {length:.0f}.')
  mask = np.zeros((height, width), np.uint8)
  for start in range(0, len(polygons), _MERGED):
    mask |= mask_api.decode(mask_api.merge(mask_api.frPyObjects(polygons[start:start + _MERGED], height, width)))
  return mask


def _outline(polygon: list[float]) -> float:
  """Returns the length of a polygon's outline in pixels."""
  corners = np.reshape(np.asarray(polygon, np.float64), (-1, 2))
  return np.hypot(*(corners - np.roll(corners, 1, axis=0)).T).sum()


def _decompress(text: bytes) -> list[int]:
  """Returns the run lengths that a string of COCO's compressed format encodes.

  A run length is encoded as a signed integer, five bits per character, the lowest bits first; the sixth bit of a
  character says whether further characters follow. From the fourth run on, the integer is the difference from the run
  length two positions before.

  Raises:
    ArgumentError: if a character is none of the format, a run length has more characters than one can have (to add up a
      million would take minutes), or the last one is not terminated; pycocotools would read past the end of the string.
  """
  counts, value, shift = [], 0, 0
  for character in text:
    if shift >= 5 * _CHARACTERS:
      raise ArgumentError(f'`segmentation` must have run lengths of at most {_CHARACTERS} characters.')
    bits = character - ord('0')
    if not 0 <= bits < 64:
      raise ArgumentError(f'`segmentation` must have run lengths of characters from 0 to o, received {character}.')
    value |= (bits & 31) << shift
    shift += 5
    if not bits & 32:
      if bits & 16:  # negative
        value -= 1 << shift
      counts.append(value + (counts[-2] if len(counts) > 2 else 0))
      value = shift = 0
  if shift:
    raise ArgumentError('`segmentation` must have run lengths that are complete.')
  return counts


def encode_mask(mask: np.ndarray) -> dict[str, list[int]]:
  """Converts a mask to COCO's uncompressed run lengths.

  Args:
    mask: bool or integers `[height, width]`; nonzero inside the object.

  Returns:
    A dict with `counts`, the numbers of consecutive equal pixels, and `size`, [height, width]. The runs go down one
    column after the other and alternate between outside and inside the object. The first one is outside; its length is
    0 if the first pixel is inside.
  """
  columns = np.asarray(mask, bool).ravel(order='F')
  borders = np.flatnonzero(np.diff(columns)) + 1
  runs = np.diff(np.concatenate([[0], borders, [columns.size]]))
  return {'counts': [0] * int(columns[0]) + runs.tolist(), 'size': list(mask.shape)}


def compress_mask(mask: np.ndarray) -> dict[str, Any]:
  """Converts a mask to COCO's compressed run lengths, as JSON data.

  Args:
    mask: bool or integers `[height, width]`: 1 inside the object, 0 outside.

  Returns:
    A dict with `counts`, the run lengths encoded as a string, and `size`, [height, width].
  """
  run_lengths = mask_api.encode(np.asfortranarray(mask, np.uint8))
  return {'size': [int(n) for n in run_lengths['size']], 'counts': run_lengths['counts'].decode('ascii')}
