"""BigGAN generators and discriminators, and class-conditional norm-activation layers."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from gan.networks.biggan import BigGAN as BigGAN

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'biggan': ('BigGAN',),
})
