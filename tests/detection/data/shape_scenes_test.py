"""Scenes: outlines against closed forms, occlusion, images against their masks; textures: range, scale, variety."""

import numpy as np
import pytest

from detection.data import shape_scenes
from detection.data.shape_scenes import CLASSES
from detection.data.shape_scenes import draw_scene

SCENES = [draw_scene(1, index, 128) for index in range(60)]


def test_permanence():
  """If scenes are to change, take the new numbers, and raise the version in `detection.data.shapes`."""
  scene = draw_scene(3, 5, 96)
  assert scene.class_ids.tolist() == [3, 3, 2, 4] and [mask.sum() for mask in scene.masks] == [482, 312, 920, 151]
  np.testing.assert_allclose(scene.image.mean((0, 1)), [129.93, 128.80, 97.93], atol=.05)


def test_a_pure_function_of_seed_and_index():
  again = draw_scene(1, 7, 128)
  for before, after in zip(SCENES[7], again):
    np.testing.assert_array_equal(before, after)
  assert len({scene.image.tobytes() for scene in SCENES} | {draw_scene(2, 7, 128).image.tobytes()}) == 61


def test_form():
  for scene in SCENES:
    shapes = len(scene.class_ids)
    assert scene.image.shape == (128, 128, 3) and scene.image.dtype == np.uint8
    assert scene.masks.shape == (shapes, 128, 128) and scene.masks.dtype == bool and 1 <= shapes <= 5
    assert scene.masks.sum(0).max() == 1  # none overlaps another
  assert {len(scene.class_ids) for scene in SCENES} == {1, 2, 3, 4, 5}
  classes = np.concatenate([scene.class_ids for scene in SCENES])
  counts = np.bincount(classes, minlength=6)
  assert counts[0] == 0 and len(counts) == 6 and counts[1:].min() > len(classes) / 10


@pytest.mark.parametrize('name, area', [
    ('circle', np.pi), ('square', 2), ('triangle', 3 * np.sqrt(3) / 4), ('ring', np.pi * (1 - .44 ** 2)),
    ('star', 10 * .45 * np.sin(np.pi / 5) / 2)])
def test_outlines(name, area):
  """Areas within a circle of radius 1; the outline lies within it and touches it; distances are those of pixels."""
  y, x = np.mgrid[:400, :400] + .5 - 200
  distance = shape_scenes._DISTANCES[name](x, y, 150.)
  inside = distance < 0
  assert inside.sum() == pytest.approx(area * 150 ** 2, rel=.003)
  assert np.hypot(x, y)[inside].max() == pytest.approx(150, abs=2)
  slope = np.hypot(*np.gradient(distance))[np.abs(distance) < 1]
  assert np.median(slope) == pytest.approx(1, abs=.01)


class Unvarying:
  """Stands for a generator of random numbers."""

  def integers(self, low, high):
    return high - 1

  def uniform(self, low, high):
    return low


def test_occlusion_and_what_is_nearly_covered(monkeypatch):
  """Disks: the first covers nearly half of the second, all of the third and most of the fourth, which are left out."""
  y, x = np.mgrid[:64, :64] + .5
  disks = iter([(20, 12), (32, 12), (20, 8), (20, 13)])  # centres and radii
  monkeypatch.setattr(shape_scenes, '_coordinates', lambda *_: (x, y))
  monkeypatch.setattr(shape_scenes, '_MOST', 4)
  monkeypatch.setitem(shape_scenes._DISTANCES, 'ring', lambda x, y, _: (
      lambda centre, radius: np.hypot(x - centre, y - 32) - radius)(*next(disks)))
  shapes = shape_scenes._place(Unvarying(), 64)
  disks = [np.hypot(x - cx, y - 32) < 12 for cx in (20, 32)]
  assert len(shapes) == 2
  np.testing.assert_array_equal(shapes[0].mask, disks[0])
  np.testing.assert_array_equal(shapes[1].mask, disks[1] & ~disks[0])


def test_the_image_shows_the_masks():
  """Within a mask the colours are strong, around the shapes they are greyish, up to the border's two pixels."""
  saturation = lambda image: (image.max(-1) - image.min(-1)) / np.maximum(image.max(-1), 1)
  right = []
  for scene in SCENES:
    strong = saturation(scene.image.astype(float)) > .42
    right.append(np.mean(strong == scene.masks.any(0)))
  assert np.mean(right) > .97


def test_colour_does_not_tell_the_class():
  """The mean colours of the classes differ by less than those of shapes within a class."""
  scenes = [draw_scene(4, index, 64) for index in range(400)]
  means = {class_id: [] for class_id in CLASSES}
  for scene in scenes:
    for mask, class_id in zip(scene.masks, scene.class_ids):
      means[int(class_id)].append(scene.image[mask].mean(0))
  within = np.mean([np.std(values, axis=0).mean() for values in means.values()])
  between = np.std([np.mean(values, axis=0) for values in means.values()], axis=0).mean()
  assert between < within / 5


def test_sizes():
  """Diameters are 40 to 120 pixels of 256; of shapes without occlusion, the longer side of the box is at least .7 of
  that."""
  sides = []
  for index in range(40):
    for mask in draw_scene(0, index).masks:
      rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
      sides.append(max(np.ptp(rows), np.ptp(columns)) + 1)
  assert 20 <= min(sides) < 45 and 105 < max(sides) <= 121


def test_noise():
  image = shape_scenes.noise(np.random.default_rng(0), 64, cells=2, octaves=1)
  assert image.shape == (64, 64) and image.dtype == np.float32 and (image.min(), image.max()) == (0, 1)
  neighbours = lambda noise: np.abs(np.diff(noise)).mean()
  fine = shape_scenes.noise(np.random.default_rng(0), 64, cells=16, octaves=1)
  assert neighbours(fine) > 3 * neighbours(image)
  assert neighbours(shape_scenes.noise(np.random.default_rng(0), 64, cells=2, octaves=4)) > 2 * neighbours(image)


def test_patterns():
  rng = np.random.default_rng(0)
  patterns = [shape_scenes.pattern(rng, 48, (6, 12)) for _ in range(60)]
  for pattern in patterns:
    assert pattern.shape == (48, 48) and pattern.dtype == np.float32
    assert 0 <= pattern.min() < .2 and .8 < pattern.max() <= 1
  shares = [np.mean(pattern > .5) for pattern in patterns]
  assert min(shares) < .35 and max(shares) > .45  # dots cover less than stripes and checks


def test_period():
  """The strongest frequency of stripes and checks lies in the range asked for."""
  rng = np.random.default_rng(1)
  found = []
  for _ in range(40):
    spectrum = np.abs(np.fft.fft2(shape_scenes.pattern(rng, 128, (8, 10)) - .5))
    spectrum[0, 0] = 0
    y, x = np.unravel_index(spectrum.argmax(), spectrum.shape)
    found.append(128 / np.hypot(min(y, 128 - y), min(x, 128 - x)))
  inside = [5 < period < 11 for period in found]  # checks lie at the diagonal: a period of 1/sqrt(2)
  assert np.mean(inside) > .6  # the others are noise


def test_mix():
  first, second = np.array([0., .5, 1.]), np.array([1., .5, 0.])
  mixed = shape_scenes.mix(np.array([[0., 1.], [.25, .5]]), first, second)
  np.testing.assert_allclose(mixed, [[first, second], [[.25, .5, .75], [.5, .5, .5]]])
