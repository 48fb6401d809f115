"""Trains candidates on the proxy task and rejects bad ones early."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.evaluation.evaluation import Evaluation as Evaluation
  from search.evaluation.evaluation import Outcome as Outcome

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'evaluation': ('Evaluation', 'Outcome'),
})
