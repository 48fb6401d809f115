"""A check of the features or logits from which scores are computed."""

import numpy as np
from numpy.typing import ArrayLike

from evonorm_tf.errors import ArgumentError


def check_samples(name: str, values: ArrayLike, least: int, reason: str, columns: int | None = None) -> np.ndarray:
  """Checks an array of samples and returns it as float64 `[N, D]`.

  Args:
    name: the name of the argument, for the error message.
    values: numbers `[N, D]`, a row for each sample.
    least: the least number N of samples.
    reason: a phrase that says why so many samples are needed, for the error message.
    columns: the expected D; None (default) accepts any D of at least 1.

  Raises:
    ArgumentError: if the shape is another one, there are too few samples, or a number is not finite.
  """
  values = np.asarray(values)
  if values.ndim != 2 or 0 in values.shape[1:] or columns not in (None, values.shape[1]):
    raise ArgumentError(f'`{name}` must be [N, {columns or "D"}], received {list(values.shape)}.')
  if len(values) < least:
    raise ArgumentError(f'`{name}` must hold at least {least} samples, {reason}; received {len(values)}.')
  bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
  if bad.size:
    raise ArgumentError(f'`{name}` must be finite; {bad.size} of {len(values)} samples are not, sample {bad[0]} is the '
                        'first.')
  return values.astype(np.float64, copy=False)
