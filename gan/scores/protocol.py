"""The protocol of a GAN's scores: everything that a score depends on besides the images."""

import dataclasses

from evonorm_tf.errors import ArgumentError
from gan.scores import feature_networks


@dataclasses.dataclass(frozen=True)
class Protocol:
  """Settings of a GAN's scores. Scores of two protocols are not comparable; every report contains `describe`.

  The defaults are those of the published tables (Brock, Donahue, Simonyan 2019), except for the feature network.

  Attributes:
    feature_network: 'efficientnet_lite0', whose weights come with a package, or 'inception_v3'.
    weights: the path of the network's weights; None for the default of `feature_networks.get_feature_network`.
    samples: how many generated images are scored, and with how many real ones KID, precision and recall compare them
      (fewer if there are fewer). FID compares them with all real images.
    splits: the number of parts, of consecutive samples, over which the Inception Score is averaged.
    neighbours: k of precision and recall.
    kid_subsets: the number of random subsets over which KID is averaged.
    kid_subset_size: images in a subset, of the generated and of the real ones.
    seed: of the subsets, and of the choice of real images that are kept.

  Raises:
    ArgumentError: if a setting is out of range, or settings do not go together.
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
    """The feature network and the origin of its weights."""
    return feature_networks.full_name(self.feature_network, self.weights)

  def network(self) -> feature_networks.FeatureNetwork:
    """Builds the feature network and returns it."""
    return feature_networks.get_feature_network(self.feature_network, self.weights)

  def describe(self) -> str:
    """Returns the line that every report contains."""
    return (f'{self.network_name} {feature_networks.describe_input(self.feature_network)}; {self.samples:,} samples; '
            f'Inception Score over {self.splits} splits; FID against all real images; KID over {self.kid_subsets} '
            f'subsets of {self.kid_subset_size:,}; precision and recall of {self.neighbours} neighbours; '
            f'seed {self.seed}')

  def statistics_settings(self) -> dict[str, str | int]:
    """Returns the settings that the statistics of real images depend on, JSON data."""
    return {'network': self.network_name, 'input': feature_networks.describe_input(self.feature_network),
            'samples': self.samples, 'seed': self.seed}
