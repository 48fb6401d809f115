"""The classification trainer: its root function, its Model Garden task, and the export of a trained network."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.classification.export import Classifier as Classifier
  from evonorm_tf.classification.task import ClassificationTask as ClassificationTask
  from evonorm_tf.classification.trainer import MODES as MODES
  from evonorm_tf.classification.trainer import run_classification as run_classification

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'export': ('Classifier',),
    'task': ('ClassificationTask',),
    'trainer': ('MODES', 'run_classification'),
})
