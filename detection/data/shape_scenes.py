"""A generator of images for detection: textured shapes on a textured background, some partly covered by others.

A scene is a pure function of (seed, index, size). Colours and textures (noise, stripes, checks and dots) are drawn from
the same distributions for all five classes of shapes, so that only the outline reveals the class.
"""

from collections.abc import Callable
import colorsys
from typing import NamedTuple

import numpy as np
from PIL import Image

CLASSES = {1: 'circle', 2: 'square', 3: 'triangle', 4: 'star', 5: 'ring'}
_SMALLEST, _LARGEST = 40 / 256, 120 / 256  # diameters of shapes, as fractions of the image's size
_VISIBLE = .25  # the fraction of a shape's pixels that must be visible; otherwise the shape is left out
_MOST = 5  # the greatest number of shapes in an image


class Scene(NamedTuple):
  """A generated image and the shapes in it, from front to back.

  Attributes:
    image: the image, uint8 `[size, size, 3]`.
    masks: the visible part of each shape, bool `[shapes, size, size]`; these parts do not overlap.
    class_ids: the class of each shape, integers `[shapes]`, keys of `CLASSES`.
  """
  image: np.ndarray
  masks: np.ndarray
  class_ids: np.ndarray


def draw_scene(seed: int, index: int, size: int = 256) -> Scene:
  """Returns a random image of one to five shapes, with their masks; equal arguments give equal scenes.

  Args:
    seed: the seed of the data set, an integer of at least 0.
    index: the index of the image in the data set, an integer of at least 0.
    size: the height and width of the image in pixels (default 256).
  """
  rng = np.random.default_rng([seed, index])
  canvas = _background(rng, size)
  shapes = _place(rng, size)
  for shape in reversed(shapes):
    canvas = _paint(rng, canvas, shape.distance)
  image = np.clip(canvas * 255 + 3 * rng.standard_normal(canvas.shape, np.float32), 0, 255).astype(np.uint8)
  return Scene(image, np.stack([shape.mask for shape in shapes]), np.array([shape.class_id for shape in shapes]))


class _Shape(NamedTuple):
  """A shape: its class, each pixel's signed distance from the outline (negative inside), and its visible part."""
  class_id: int
  distance: np.ndarray
  mask: np.ndarray


def _place(rng: np.random.Generator, size: int) -> list[_Shape]:
  """Returns random shapes from front to back, without those of which less than a quarter is visible."""
  shapes, covered = [], np.zeros((size, size), bool)
  for _ in range(rng.integers(1, _MOST + 1)):
    class_id, radius = int(rng.integers(1, len(CLASSES) + 1)), size * rng.uniform(_SMALLEST, _LARGEST) / 2
    distance = _DISTANCES[CLASSES[class_id]](*_coordinates(rng, size, radius), radius)
    inside = distance < 0
    mask = inside & ~covered
    if mask.sum() >= _VISIBLE * inside.sum():
      shapes.append(_Shape(class_id, distance, mask))
      covered |= inside
  return shapes


def _coordinates(rng: np.random.Generator, size: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
  """Returns the x and y coordinates of all pixels in the frame of a randomly placed and rotated shape.

  The circle of this radius around the shape's centre lies within the image.
  """
  cx, cy = rng.uniform(radius, size - radius, 2)
  angle = rng.uniform(0, 2 * np.pi)
  y, x = np.mgrid[:size, :size] + .5
  return (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)


def _paint(rng: np.random.Generator, canvas: np.ndarray, distance: np.ndarray) -> np.ndarray:
  """Returns the canvas `[size, size, 3]` with a shape painted on it in two tones, lit from a side, with soft edges."""
  size = len(canvas)
  hue, saturation = rng.random(), rng.uniform(.5, .9)
  tones = [_colour(hue + rng.uniform(-.04, .04), saturation, rng.uniform(*values)) for values in ((.8, 1), (.5, .7))]
  light = 1 + .5 * _slope(rng, size)
  colours = mix(pattern(rng, size, (size / 40, size / 14)), *tones) * light[..., np.newaxis]
  coverage = np.clip(.5 - distance, 0, 1).astype(np.float32)[..., np.newaxis]  # half on the outline
  return canvas + coverage * (colours - canvas)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
  """Returns a background, about [0, 1] `[size, size, 3]`: clouds of two greyish tones, a faint pattern, side light."""
  hue, value = rng.random(), rng.uniform(.25, .6)
  tones = [_colour(hue + shift, rng.uniform(.05, .35), value + change) for shift, change in ((0, -.12), (.2, .12))]
  weights = .7 * noise(rng, size, cells=4, octaves=4) + .3 * pattern(rng, size, (size / 50, size / 8))
  return mix(weights, *tones) * (1 + .4 * _slope(rng, size))[..., np.newaxis]


def _slope(rng: np.random.Generator, size: int) -> np.ndarray:
  """Returns values `[size, size]` that rise linearly, from about -.5 to .5, in a random direction."""
  angle = rng.uniform(0, 2 * np.pi)
  line = np.arange(size, dtype=np.float32) / size - .5
  return np.float32(np.cos(angle)) * line + np.float32(np.sin(angle)) * line[:, np.newaxis]


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
  return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


# Textures. Each is an array of weights from 0 to 1, with which `mix` blends two colours.


def noise(rng: np.random.Generator, size: int, cells: int, octaves: int = 3) -> np.ndarray:
  """Returns smooth noise, float32 `[size, size]`, scaled so that its least value is 0 and its greatest is 1.

  It is a sum of interpolated grids of random numbers, each twice as fine and half as strong as the one before.

  Args:
    rng: the random generator.
    size: the height and width in pixels.
    cells: the number of cells along a side of the coarsest grid.
    octaves: the number of grids (default 3).
  """
  total = np.zeros((size, size), np.float32)
  for octave in range(octaves):
    grid = Image.fromarray(rng.random((cells * 2 ** octave + 1,) * 2, np.float32))
    total += np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC)) / 2 ** octave
  low, high = total.min(), total.max()
  return (total - low) / (high - low)


def pattern(rng: np.random.Generator, size: int, period: tuple[float, float]) -> np.ndarray:
  """Returns stripes, checks or dots at a random angle, or noise, as float32 `[size, size]` in [0, 1].

  Args:
    rng: the random generator.
    size: the height and width in pixels.
    period: the least and the greatest distance from one stripe to the next, in pixels.
  """
  kind, angle = rng.integers(4), rng.uniform(0, np.pi)
  scale, phase = 2 * np.pi / rng.uniform(*period), rng.uniform(0, 2 * np.pi, 2)
  if kind == 0:
    return noise(rng, size, cells=max(2, round(size * scale / (4 * np.pi))), octaves=2)
  line = np.arange(size, dtype=np.float32)
  along, across = np.float32(scale * np.cos(angle)) * line, np.float32(scale * np.sin(angle)) * line
  u = np.sin(along + across[:, np.newaxis] + np.float32(phase[0]))
  v = np.sin(along[:, np.newaxis] - across + np.float32(phase[1]))
  wave = (u, u * v * 2, (u + v) - .6)[kind - 1]
  return .5 + .5 * np.clip(3 * wave, -1, 1)  # steep but smooth edges


def mix(weights: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Blends two colours, pixel by pixel.

  Args:
    weights: the weight of the second colour in every pixel, `[height, width]` in [0, 1].
    first: the colour where the weight is 0, `[3]`.
    second: the colour where the weight is 1, `[3]`.

  Returns:
    The blended colours, `[height, width, 3]`.
  """
  return first + weights[..., np.newaxis] * (second - first)


# Signed distances from the outlines of shapes that lie around the origin and fit into a circle of radius r; x and y are
# the coordinates of the pixels. They are exact near the outline.
_INNER = .45  # the distance of a star's inner corners from its centre, as a fraction of that of its tips


def _circle(x, y, r):
  return np.hypot(x, y) - r


def _ring(x, y, r):
  return np.abs(np.hypot(x, y) - .72 * r) - .28 * r


def _square(x, y, r):
  return np.maximum(np.abs(x), np.abs(y)) - r / np.sqrt(2)


def _triangle(x, y, r):
  sides = [np.cos(angle) * x + np.sin(angle) * y for angle in np.array([1, 3, 5]) * np.pi / 3]
  return np.max(sides, axis=0) - r / 2


def _star(x, y, r):
  """Returns the signed distance from a five-pointed star.

  By symmetry, every pixel is mapped to a tenth of the star: the edge from a tip at angle 0 to an inner corner at π/5.
  """
  sector = 2 * np.pi / 5
  angle = np.abs((np.arctan2(y, x) + sector / 2) % sector - sector / 2)
  edge = np.array([_INNER * np.cos(sector / 2) - 1, _INNER * np.sin(sector / 2)])
  normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
  distance = np.hypot(x, y)
  return normal[0] * (distance * np.cos(angle) - r) + normal[1] * distance * np.sin(angle)


_DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    'circle': _circle, 'square': _square, 'triangle': _triangle, 'star': _star, 'ring': _ring}
