"""Evaluation of a detector by COCO's metrics, pictures of its detections, export as a SavedModel, and prediction."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from detection.results.evaluation import Evaluator as Evaluator
  from detection.results.export import Detector as Detector
  from detection.results.instances import annotated as annotated
  from detection.results.instances import detected as detected
  from detection.results.instances import Instances as Instances
  from detection.results.visualize import compare as compare
  from detection.results.visualize import draw as draw

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'evaluation': ('Evaluator',),
    'export': ('Detector',),
    'instances': ('Instances', 'annotated', 'detected'),
    'visualize': ('compare', 'draw'),
})
