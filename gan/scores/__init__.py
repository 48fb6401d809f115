"""Scores of a GAN: Inception Score, FID, KID, precision and recall, all with the settings of one `Protocol`."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from gan.scores.feature_networks import FeatureNetwork as FeatureNetwork
  from gan.scores.feature_networks import get_feature_network as get_feature_network
  from gan.scores.frechet import frechet_distance as frechet_distance
  from gan.scores.frechet import RunningMoments as RunningMoments
  from gan.scores.metrics import scores as scores
  from gan.scores.precision_recall import precision_and_recall as precision_and_recall
  from gan.scores.protocol import Protocol as Protocol
  from gan.scores.real_statistics import RealStatistics as RealStatistics

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'feature_networks': ('FeatureNetwork', 'get_feature_network'),
    'frechet': ('RunningMoments', 'frechet_distance'),
    'metrics': ('scores',),
    'precision_recall': ('precision_and_recall',),
    'protocol': ('Protocol',),
    'real_statistics': ('RealStatistics',),
})
