"""Textures for generated images: noise, stripes, checks and dots as weights between two colours."""

import numpy as np
from PIL import Image


def noise(rng: np.random.Generator, size: int, cells: int, octaves: int = 3) -> np.ndarray:
  """Returns smooth noise, float32 `[size, size]` of 0 to 1: grids of random numbers, each twice as fine and half as
  strong as the one before, interpolated.

  Args:
    rng: where the random numbers come from.
    size: pixels.
    cells: the coarsest grid's, along a side.
    octaves: grids.
  """
  total = np.zeros((size, size), np.float32)
  for octave in range(octaves):
    grid = Image.fromarray(rng.random((cells * 2 ** octave + 1,) * 2, np.float32))
    total += np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC)) / 2 ** octave
  low, high = total.min(), total.max()
  return (total - low) / (high - low)


def pattern(rng: np.random.Generator, size: int, period: tuple[float, float]) -> np.ndarray:
  """Returns stripes, checks, dots or noise, turned at random; float32 `[size, size]` of 0 to 1.

  Args:
    rng: where the random numbers come from.
    size: pixels.
    period: least and largest distance from one stripe to the next, pixels.
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
  return (.5 + .5 * np.clip(3 * wave, -1, 1))  # steep, but smooth, borders


def mix(weights: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """Returns `[height, width, 3]`: the first colour where the weight `[height, width]` is 0, the second where 1."""
  return first + weights[..., np.newaxis] * (second - first)
