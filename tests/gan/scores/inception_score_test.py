"""The Inception Score of known probability tables, and its formula in plain loops."""

import math

import numpy as np
import pytest

from gan.scores.inception_score import inception_score


def sharp(classes, number=5, height=1e3):
  return height * np.eye(number)[np.asarray(classes)]


def test_images_of_one_class_score_1():
  assert inception_score(sharp([2] * 6), splits=1) == pytest.approx((1, 0), abs=1e-12)


@pytest.mark.parametrize('number', [2, 5])
def test_sharp_images_of_k_classes_score_k(number):
  assert inception_score(sharp(list(range(number)) * 4), splits=1) == pytest.approx((number, 0), rel=1e-12)


def test_blurred_images_score_1():
  assert inception_score(np.random.default_rng(0).normal(size=[7, 1]) * np.ones(5), splits=1)[0] == pytest.approx(1)


def test_classes_in_unequal_parts_score_the_exponential_of_their_entropy():
  entropy = -(.75 * math.log(.75) + .25 * math.log(.25))
  assert inception_score(sharp([0, 0, 0, 1]), splits=1)[0] == pytest.approx(math.exp(entropy), rel=1e-12)


def test_mean_and_deviation_over_consecutive_parts():
  # Parts of 2, 2 and 1 samples: two classes, one class, one class.
  assert inception_score(sharp([0, 1, 2, 2, 3]), splits=3) == pytest.approx((4 / 3, math.sqrt(2) / 3), rel=1e-12)


def test_equals_the_formula_in_loops():
  logits = np.random.default_rng(1).normal(0, 2, [9, 4])
  p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  marginal = [sum(p[i][y] for i in range(9)) / 9 for y in range(4)]
  divergence = sum(p[i][y] * math.log(p[i][y] / marginal[y]) for i in range(9) for y in range(4)) / 9
  assert inception_score(logits, splits=1)[0] == pytest.approx(math.exp(divergence), rel=1e-12)
  assert inception_score(logits + 1e3, splits=1)[0] == pytest.approx(math.exp(divergence), rel=1e-9)


def test_errors():
  with pytest.raises(ValueError, match='`logits` must hold at least 4 samples, one for each of `splits` = 4; rec'):
    inception_score(np.zeros([3, 2]), splits=4)
  with pytest.raises(ValueError, match='`logits` must be finite; 1 of 3 samples are not, sample 1 is the first'):
    inception_score([[0., 1.], [np.inf, 0.], [0., 0.]], splits=1)
  with pytest.raises(ValueError, match=r'`logits` must be \[N, D\], received \[3\]'):
    inception_score(np.zeros(3), splits=1)
