"""Sweeps that measure accuracy as a function of the batch size for several norm-activation layers."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.batch_size_sweep.runs import Result as Result
  from evonorm_tf.batch_size_sweep.runs import Run as Run
  from evonorm_tf.batch_size_sweep.sweep import run_sweep as run_sweep

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'runs': ('Result', 'Run'),
    'sweep': ('run_sweep',),
})
