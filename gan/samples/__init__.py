"""Samples of a trained generator: pictures, evaluation by scores, and standing statistics."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from gan.samples.evaluation import make_evaluation as make_evaluation
  from gan.samples.evaluation import SampleEvaluation as SampleEvaluation
  from gan.samples.pictures import make_grid as make_grid
  from gan.samples.pictures import Pictures as Pictures

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'evaluation': ('SampleEvaluation', 'make_evaluation'),
    'pictures': ('Pictures', 'make_grid'),
})
