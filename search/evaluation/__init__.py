"""The evaluation of candidates by short training on the proxy task, with tests that reject bad ones early."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.evaluation.architecture import Architecture as Architecture
  from search.evaluation.architecture import FAMILIES as FAMILIES
  from search.evaluation.evaluation import Evaluation as Evaluation
  from search.evaluation.evaluation import Outcome as Outcome
  from search.evaluation.proxy_task import ProxyTask as ProxyTask
  from search.evaluation.rejection import LossTest as LossTest
  from search.evaluation.rejection import QualityTest as QualityTest
  from search.evaluation.rejection import Rejected as Rejected
  from search.evaluation.rejection import StabilityTest as StabilityTest
  from search.evaluation.reused_training import start_training as start_training
  from search.evaluation.successive_halving import SuccessiveHalving as SuccessiveHalving
  from search.evaluation.training import NonFiniteLoss as NonFiniteLoss
  from search.evaluation.training import Training as Training

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'architecture': ('Architecture', 'FAMILIES'),
    'evaluation': ('Evaluation', 'Outcome'),
    'proxy_task': ('ProxyTask',),
    'rejection': ('LossTest', 'QualityTest', 'Rejected', 'StabilityTest'),
    'reused_training': ('start_training',),
    'successive_halving': ('SuccessiveHalving',),
    'training': ('NonFiniteLoss', 'Training'),
})
