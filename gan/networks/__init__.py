"""BigGAN's generator and discriminator, their layers, and the random draws of z and labels."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from gan.networks.biggan import BigGAN as BigGAN
  from gan.networks.biggan import Discriminator as Discriminator
  from gan.networks.biggan import Generator as Generator
  from gan.networks.blocks import DiscriminatorBlock as DiscriminatorBlock
  from gan.networks.blocks import GeneratorBlock as GeneratorBlock
  from gan.networks.conditional import ConditionalNormAct as ConditionalNormAct
  from gan.networks.latents import draw as draw
  from gan.networks.latents import Purpose as Purpose
  from gan.networks.latents import seed_of as seed_of
  from gan.networks.self_attention import SelfAttention as SelfAttention
  from gan.networks.spectral_norm import singular_values as singular_values
  from gan.networks.spectral_norm import SpectralConv2D as SpectralConv2D
  from gan.networks.spectral_norm import SpectralDense as SpectralDense
  from gan.networks.spectral_norm import SpectralEmbedding as SpectralEmbedding
  from gan.networks.weight_layers import WeightLayers as WeightLayers

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'biggan': ('BigGAN', 'Discriminator', 'Generator'),
    'blocks': ('DiscriminatorBlock', 'GeneratorBlock'),
    'conditional': ('ConditionalNormAct',),
    'latents': ('Purpose', 'draw', 'seed_of'),
    'self_attention': ('SelfAttention',),
    'spectral_norm': ('SpectralConv2D', 'SpectralDense', 'SpectralEmbedding', 'singular_values'),
    'weight_layers': ('WeightLayers',),
})
