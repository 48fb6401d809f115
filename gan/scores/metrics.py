"""The scores of a GAN by one protocol: Inception Score, FID, KID, precision and recall.

FID and KID are the Fréchet and the Kernel Inception Distance. The scores are computed from the statistics of real
images and from the features and logits of generated ones, all made by the protocol's feature network:

    protocol = Protocol('efficientnet_lite0', samples=1_000, kid_subset_size=500)
    network = protocol.network()
    real = real_statistics(protocol, dataset, 'cifar10_train', cache_dir, network)
    features, logits = network(generated_images)  # and so on, until there are protocol.samples
    print(protocol.describe(), scores(protocol, real, features, logits))
"""

import numpy as np
from numpy.typing import ArrayLike

from evonorm_tf.errors import ArgumentError
from gan.scores.checks import check_samples
from gan.scores.frechet import frechet_distance
from gan.scores.frechet import RunningMoments
from gan.scores.inception_score import inception_score
from gan.scores.kernel_distance import kernel_distance
from gan.scores.precision_recall import precision_and_recall
from gan.scores.protocol import Protocol
from gan.scores.real_statistics import real_statistics
from gan.scores.real_statistics import RealStatistics

__all__ = ['Protocol', 'RealStatistics', 'real_statistics', 'scores']


def scores(protocol: Protocol, real: RealStatistics, features: ArrayLike, logits: ArrayLike,
           real_radii: np.ndarray | None = None) -> dict[str, float]:
  """Returns the scores of generated images; report them together with `protocol.describe()`.

  Args:
    protocol: the settings of the scores.
    real: the statistics of the real images, made with the same protocol.
    features: the features of `protocol.samples` generated images, numbers `[samples, D]`, in random order.
    logits: the logits of the same images in the same order, numbers `[samples, classes]`.
    real_radii: `squared_radii` of the real images, which are the same in each evaluation; None (default) to compute it.

  Returns:
    The scores by name: 'fid'; 'inception_score' and 'inception_score_std', the mean and the standard deviation over
    splits; 'kid' and 'kid_std', the same over subsets; 'precision' and 'recall', from 0 to 1.

  Raises:
    ArgumentError: if shapes or protocols do not match, or a number is not finite.
  """
  if real.settings != protocol.statistics_settings():
    raise ArgumentError(f'`real` must be statistics by {protocol.statistics_settings()}, received {real.settings}.')
  features = check_samples('features', features, 2, 'for a covariance', columns=real.mean.size)
  logits = check_samples('logits', logits, 2, 'as features')
  if not len(features) == len(logits) == protocol.samples:
    raise ArgumentError(f'`features` and `logits` must hold {protocol.samples} samples, as the protocol has it, '
                        f'received {len(features)} and {len(logits)}.')
  moments = RunningMoments(features.shape[1])
  moments.update(features)
  score, score_std = inception_score(logits, protocol.splits)
  kid, kid_std = kernel_distance(features, real.features, protocol.kid_subsets, protocol.kid_subset_size,
                                 np.random.default_rng(protocol.seed))
  precision, recall = precision_and_recall(real.features, features, protocol.neighbours, real_radii)
  return {
      'fid': frechet_distance(moments.mean, moments.covariance(), real.mean, real.covariance),
      'inception_score': score, 'inception_score_std': score_std, 'kid': kid, 'kid_std': kid_std,
      'precision': precision, 'recall': recall,
  }
