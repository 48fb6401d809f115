"""Tests of blocks: the orders of operations that BigGAN's figure shows, by plain TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf import get_norm_act
from gan.networks.blocks import DiscriminatorBlock
from gan.networks.blocks import GeneratorBlock
from gan.networks.conditional import ConditionalNormAct
from gan.networks.weight_layers import WeightLayers

LAYERS = WeightLayers(spectral_norm=False)


def maps(channels):
  return tf.random.stateless_normal([2, 6, 4, channels], [0, 0])


def convolve(x, layer):
  return tf.nn.conv2d(x, layer.kernel, 1, 'SAME') + layer.bias


def randomize_biases(block):
  for i, weight in enumerate(block.trainable_weights):
    if weight.shape.rank == 1:
      weight.assign(tf.random.stateless_normal(weight.shape, [i, 0]))


def double(x):
  return tf.repeat(tf.repeat(x, 2, 1), 2, 2)


def halve(x):
  return tf.nn.avg_pool2d(x, 2, 2, 'SAME')


def test_generator_block():
  make_norm_act = lambda name: ConditionalNormAct(get_norm_act('ln_relu'), spectral_norm=False, name=name)
  block = GeneratorBlock(5, make_norm_act, LAYERS)
  x, condition = maps(3), tf.random.stateless_normal([2, 4], [0, 1])
  block((x, condition))
  randomize_biases(block)
  y = convolve(double(block.norm_act1((x, condition))), block.convolution1)
  y = convolve(block.norm_act2((y, condition)), block.convolution2)
  expected = y + convolve(double(x), block.shortcut)  # as the figure has it; ours convolves first
  np.testing.assert_allclose(block((x, condition)), expected, rtol=1e-4, atol=1e-5)
  assert block((x, condition)).shape == (2, 12, 8, 5)


@pytest.mark.parametrize('halves', (True, False))
@pytest.mark.parametrize('activates_first', (True, False))
@pytest.mark.parametrize('in_channels', (3, 5))
def test_discriminator_block(halves, activates_first, in_channels):
  block = DiscriminatorBlock(5, LAYERS, halves, activates_first)
  x = maps(in_channels)
  block(x)
  randomize_biases(block)
  y = convolve(tf.nn.relu(x) if activates_first else x, block.convolution1)
  y = convolve(tf.nn.relu(y), block.convolution2)
  shortcut = x if in_channels == 5 and not halves else convolve(x, block.shortcut)
  expected = halve(y) + halve(shortcut) if halves else y + shortcut
  np.testing.assert_allclose(block(x), expected, rtol=1e-4, atol=1e-5)
