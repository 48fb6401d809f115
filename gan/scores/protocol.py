"""The protocol of a GAN's scores: all settings on which the scores depend, apart from the images."""

import dataclasses

from evonorm_tf.errors import ArgumentError
from gan.scores import feature_networks


@dataclasses.dataclass(frozen=True)
class Protocol:
  """The settings of a GAN's scores.

  Scores with different protocols are not comparable, so every report should contain the line that `describe` returns.
  `samples` and `splits` default to the values of published tables (Brock, Donahue, Simonyan, 2019).

  Attributes:
    feature_network: 'efficientnet_lite0' (default), whose weights can be installed as a Python package, or
      'inception_v3'.
    weights: the path of a file with the network's weights; None (default) for the default weights, see
      `feature_networks.get_feature_network`.
    samples: the number of generated images, at least 2 (default 50,000). FID compares them with all real images; KID,
      precision and recall with as many random real images, or with all if there are fewer.
    splits: the number of parts, of consecutive samples, over which the Inception Score is averaged (default 10).
    neighbours: the number k of nearest neighbours in precision and recall (default 3).
    kid_subsets: the number of random subsets over which KID is averaged (default 100).
    kid_subset_size: the number of generated images, and of real images, in each subset, at least 2 (default 1,000).
    seed: the seed of the subsets and of the choice of real images, an integer of at least 0 (default 0).

  Raises:
    ArgumentError: if a setting is out of range, `weights` cannot be read, or `samples` is below `splits`,
      `kid_subset_size` or `neighbours` + 1.
  """
  feature_network: str = 'efficientnet_lite0'
  weights: str | None = None
  samples: int = 50_000
  splits: int = 10
  neighbours: int = 3
  kid_subsets: int = 100
  kid_subset_size: int = 1_000
  seed: int = 0

  def __post_init__(self):
    feature_networks.full_name(self.feature_network, self.weights)  # checks both
    least = {'samples': 2, 'splits': 1, 'neighbours': 1, 'kid_subsets': 1, 'kid_subset_size': 2, 'seed': 0}
    for name, minimum in least.items():
      value = getattr(self, name)
      if not isinstance(value, int) or value < minimum:
        raise ArgumentError(f'`{name}` must be an integer from {minimum} on, received {value!r}.')
    for name, needed in (('splits', self.splits), ('neighbours', self.neighbours + 1),
                         ('kid_subset_size', self.kid_subset_size)):
      if self.samples < needed:
        raise ArgumentError(f'`samples` must be at least {needed} for `{name}` = {getattr(self, name)}, '
                            f'received {self.samples}.')

  @property
  def network_name(self) -> str:
    """The name of the feature network and the source of its weights, for reports."""
    return feature_networks.full_name(self.feature_network, self.weights)

  def network(self) -> feature_networks.FeatureNetwork:
    """Builds the feature network and loads its weights.

    Raises:
      ArgumentError: if the weights cannot be obtained or do not fit the network.
      MissingDependencyError: if the package with the weights is needed and not installed.
    """
    return feature_networks.get_feature_network(self.feature_network, self.weights)

  def describe(self) -> str:
    """Returns a line that names all settings, for reports."""
    return (f'{self.network_name} {feature_networks.describe_input(self.feature_network)}; {self.samples:,} samples; '
            f'Inception Score over {self.splits} splits; FID against all real images; KID over {self.kid_subsets} '
            f'subsets of {self.kid_subset_size:,}; precision and recall of {self.neighbours} neighbours; '
            f'seed {self.seed}')

  def statistics_settings(self) -> dict[str, str | int]:
    """Returns the settings on which the statistics of real images depend, as JSON data."""
    return {'network': self.network_name, 'input': feature_networks.describe_input(self.feature_network),
            'samples': self.samples, 'seed': self.seed}
