"""Checks of the samples that every score is computed from."""

import numpy as np
from numpy.typing import ArrayLike

from evonorm_tf.errors import ArgumentError


def check_samples(name: str, values: ArrayLike, least: int, reason: str, columns: int | None = None) -> np.ndarray:
  """Returns samples as float64 `[N, D]`.

  Args:
    name: of the argument, for the message.
    values: numbers `[N, D]`.
    least: the smallest number of samples.
    reason: why there must be that many, for the message.
    columns: D; None accepts any.

  Raises:
    ArgumentError: if the shape differs, there are too few samples, or one is not finite.
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
