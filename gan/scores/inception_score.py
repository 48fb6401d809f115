"""The Inception Score, exp(E_x KL(p(y|x) ‖ p(y))), where p(y|x) are a classifier's probabilities for an image x.

Reference: Salimans et al., Improved Techniques for Training GANs (2016), https://arxiv.org/abs/1606.03498, section 4.
"""

import numpy as np
from numpy.typing import ArrayLike
import scipy.special

from gan.scores.checks import check_samples


def inception_score(logits: ArrayLike, splits: int) -> tuple[float, float]:
  """Computes the Inception Score of each part of the samples, and returns the mean and the standard deviation.

  The score of a part with N samples is exp(1/N Σₓ Σ_y p(y|x)·(log p(y|x) − log p(y))), where p(y) is the mean of p(y|x)
  over the part. It lies between 1, if the classifier cannot tell the images apart, and the number of classes.

  Args:
    logits: the classifier's logits, numbers `[N, classes]`. Parts are consecutive samples, so their order should be
      random.
    splits: the number of parts. Their sizes differ by at most one sample.

  Returns:
    (mean, standard deviation) of the scores of the parts.

  Raises:
    ArgumentError: if there are fewer samples than parts, or a logit is not finite.
  """
  logits = check_samples('logits', logits, splits, f'one for each of `splits` = {splits}')
  scores = [_score(scipy.special.log_softmax(part, axis=1)) for part in np.array_split(logits, splits)]
  return float(np.mean(scores)), float(np.std(scores))


def _score(log_p: np.ndarray) -> float:
  log_marginal = scipy.special.logsumexp(log_p, axis=0) - np.log(len(log_p))
  return np.exp((np.exp(log_p) * (log_p - log_marginal)).sum(axis=1).mean())
