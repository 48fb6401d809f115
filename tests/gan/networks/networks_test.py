"""Settings reach the networks."""

import pytest

from evonorm_tf.layers.norm_act import get_norm_act
from gan.networks.biggan import BigGAN


def test_settings_reach_both_networks():
  networks = BigGAN(2, discriminator_channels=3, z_size=60, shared_size=16, attention_resolution=32)
  generator = networks.make_generator(get_norm_act('evonorm_s0'), 64, 7, 'average')
  discriminator = networks.make_discriminator(64, 7)
  assert (generator.z_size, generator.shared_size, generator.num_chunks, generator.name) == (60, 16, 5, 'average')
  assert [a is not None for a in generator.attentions] == [False, False, True, False]
  assert (generator.resolution, generator.num_classes, discriminator.num_classes) == (64, 7, 7)
  assert [block.channels for block in discriminator.blocks] == [3, 6, 12, 24, 48]
  assert BigGAN(2).make_discriminator(32, 7).blocks[0].channels == 8


@pytest.mark.parametrize('changes, message', [
    (dict(z_size=7), '`z_size`'), (dict(shared_size=None), '`hierarchical=True` needs'),
    (dict(initializer='zeros'), '`initializer`')])
def test_settings_that_do_not_go_together(changes, message):
  with pytest.raises(ValueError, match=message):
    BigGAN(**dict(channels=2, z_size=8) | changes).make_generator(get_norm_act('evonorm_s0'), 32, 10)
