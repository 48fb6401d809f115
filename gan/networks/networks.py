"""The networks of an experiment as settings, which make a generator and a discriminator for a layer and data."""

import dataclasses

from gan.networks.biggan import Discriminator
from gan.networks.biggan import Generator


@dataclasses.dataclass(frozen=True)
class BigGAN:
  """`biggan.Generator` and `biggan.Discriminator`, whose arguments these are.

  Attributes:
    channels: the unit of the generator's widths.
    discriminator_channels: that of the discriminator's; None for the same.
    z_size: numbers in z.
    hierarchical: whether each block of the generator gets a chunk of z.
    shared_size: numbers in the embedding of a label that all blocks share; None for a table in each.
    attention_resolution: of the maps behind which self-attention stands in both; None for none.
    spectral_norm: whether the generator has spectral norm; the discriminator always has.
    initializer: of all weights but biases, 'orthogonal' or 'n02'.
  """
  channels: int
  discriminator_channels: int | None = None
  z_size: int = 120
  hierarchical: bool = True
  shared_size: int | None = 128
  attention_resolution: int | None = 64
  spectral_norm: bool = True
  initializer: str = 'orthogonal'

  def make_generator(self, norm_act, resolution: int, num_classes: int, name: str = 'generator') -> Generator:
    """Returns a generator that is not built yet; ValueError for settings that do not go together."""
    return Generator(
        norm_act, resolution, self.channels, num_classes, self.z_size, self.hierarchical, self.shared_size,
        self.attention_resolution, self.spectral_norm, self.initializer, name=name)

  def make_discriminator(self, resolution: int, num_classes: int) -> Discriminator:
    """Returns a discriminator that is not built yet; ValueError as `make_generator`."""
    return Discriminator(
        resolution, self.discriminator_channels or self.channels, num_classes, self.attention_resolution,
        self.initializer, name='discriminator')
