"""Improved precision and recall against loops over points, and of sets made by hand."""

import numpy as np
import pytest

from gan.scores import precision_recall
from gan.scores.precision_recall import precision_and_recall


def in_loops(real, generated, neighbours):
  """The paper's equations, point by point."""

  def radius(point, points):
    return sorted(np.linalg.norm(points[i] - points[point]) for i in range(len(points)) if i != point)[neighbours - 1]

  def share(points, centres):
    radii = [radius(i, centres) for i in range(len(centres))]
    return np.mean([any(np.linalg.norm(p - c) <= r for c, r in zip(centres, radii)) for p in points])

  return share(generated, real), share(real, generated)


@pytest.mark.parametrize('neighbours', [1, 3, 5])
def test_equals_the_loops(neighbours, monkeypatch):
  rng = np.random.default_rng(neighbours)
  real, generated = rng.normal(size=[40, 3]), rng.normal([2.5, 0, 0], 1., size=[31, 3])
  expected = in_loops(real, generated, neighbours)
  assert 0 < expected[0] < 1 and 0 < expected[1] < 1
  assert precision_and_recall(real, generated, neighbours) == pytest.approx(expected)
  radii = precision_recall.squared_radii(real, neighbours)
  assert precision_and_recall(real, generated, neighbours, radii) == pytest.approx(expected)
  monkeypatch.setattr(precision_recall, '_BLOCK', 200)  # several blocks of rows, the last one smaller
  assert precision_and_recall(real, generated, neighbours) == pytest.approx(expected)


def test_hand_worked_line():
  # Real points 0, 1, 2, 3 have balls of radius 1: from −1 to 4. Generated points 4, 5, 9 have radii 1, 1, 4.
  real, generated = np.array([[0.], [1.], [2.], [3.]]), np.array([[4.], [5.], [9.]])
  assert precision_and_recall(real, generated, 1) == pytest.approx((1 / 3, 1 / 4))
  assert precision_recall.squared_radii(generated, 1).tolist() == [1., 1., 16.]


def test_a_subset_is_precise():
  real = np.random.default_rng(0).normal(size=[60, 4])
  precision, recall = precision_and_recall(real, real[:20], 3)
  assert precision == 1 and recall < 1
  assert precision_and_recall(real, real, 3) == (1, 1)


def test_a_dropped_mode_is_not_recalled():
  rng = np.random.default_rng(1)
  modes = rng.normal(0, .1, [2, 100, 2]) + np.array([[[0., 0.]], [[10., 0.]]])
  precision, recall = precision_and_recall(modes.reshape(-1, 2), rng.normal(0, .1, [200, 2]), 3)
  assert precision > .9 and recall == pytest.approx(.5, abs=.05)
  # The other way round: one real mode, and a generator that adds another.
  precision, recall = precision_and_recall(rng.normal(0, .1, [200, 2]), modes.reshape(-1, 2), 3)
  assert precision == pytest.approx(.5, abs=.05) and recall > .9


def test_a_collapsed_generator_recalls_nothing():
  real = np.random.default_rng(2).normal(size=[50, 8])
  precision, recall = precision_and_recall(real, np.repeat(real[:1], 50, axis=0), 3)
  assert precision == 1 and recall <= 1 / 50


def test_errors():
  with pytest.raises(ValueError, match='`real` must hold at least 4 samples, one more than `neighbours` = 3; rece'):
    precision_and_recall(np.zeros([3, 2]), np.zeros([9, 2]), 3)
  with pytest.raises(ValueError, match='`generated` must hold at least 4 samples'):
    precision_and_recall(np.zeros([4, 2]), np.zeros([3, 2]), 3)
  with pytest.raises(ValueError, match=r'`generated` must be \[N, 2\], received \[4, 3\]'):
    precision_and_recall(np.zeros([4, 2]), np.zeros([4, 3]), 3)
