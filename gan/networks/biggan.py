"""BigGAN: a class-conditional generator with any norm-activation layer, its projection discriminator, their settings.

Source: Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2019, arXiv
1809.11096, appendix B; widths and the 32×32 form as in the authors' PyTorch code, ajbrock/BigGAN-PyTorch. It is
BigGAN, not BigGAN-deep. The projection is that of Miyato and Koyama, "cGANs with Projection Discriminator", 2018,
arXiv 1802.05637.

Departure: a condition of labels alone, without a shared embedding, cannot be combined with hierarchical z.
"""

import dataclasses

import tensorflow as tf
import tf_keras

from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import NormActFactory
from gan.networks.blocks import DiscriminatorBlock
from gan.networks.blocks import GeneratorBlock
from gan.networks.conditional import ConditionalNormAct
from gan.networks.self_attention import SelfAttention
from gan.networks.weight_layers import WeightLayers

# By resolution: the channels, in units of `channels`, before the first block and after each block.
GENERATOR_WIDTHS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
# By resolution: the channels after each block, and how many of the blocks, counted from the first, halve the map.
DISCRIMINATOR_WIDTHS = {
    32: ((4, 4, 4, 4), 2),
    64: ((1, 2, 4, 8, 16), 4),
    128: ((1, 2, 4, 8, 16, 16), 5),
    256: ((1, 2, 4, 8, 8, 16, 16), 6),
}
FIRST_SIZE = 4  # of the generator's maps


@dataclasses.dataclass(frozen=True)
class BigGAN:
  """Settings of both networks, which an experiment names in its gin file.

  Attributes:
    channels: the unit of the generator's widths (BigGAN: 96; 64 for 32×32).
    discriminator_channels: the unit of the discriminator's widths; None (default) for the same.
    z_size: numbers in z.
    hierarchical: whether each block of the generator receives a chunk of z.
    shared_size: numbers in the embedding of a label that all blocks share; None for a table in each conditional layer.
    attention_resolution: of the maps after whose block self-attention follows, in both networks; None for none.
    spectral_norm: whether the generator has spectral norm; the discriminator always has.
    initializer: of all weights except biases, 'orthogonal' or 'n02'.
  """
  channels: int
  discriminator_channels: int | None = None
  z_size: int = 120
  hierarchical: bool = True
  shared_size: int | None = 128
  attention_resolution: int | None = 64
  spectral_norm: bool = True
  initializer: str = 'orthogonal'

  def make_generator(self, norm_act: NormActFactory, resolution: int, num_classes: int, name: str = 'generator'
                     ) -> 'Generator':
    """Returns a `Generator` of these settings, not yet built; ArgumentError if settings do not go together."""
    return Generator(
        norm_act, resolution, self.channels, num_classes, self.z_size, self.hierarchical, self.shared_size,
        self.attention_resolution, self.spectral_norm, self.initializer, name=name)

  def make_discriminator(self, resolution: int, num_classes: int) -> 'Discriminator':
    """Returns a `Discriminator` of these settings, not yet built; ArgumentError as for `make_generator`."""
    return Discriminator(
        resolution, self.discriminator_channels or self.channels, num_classes, self.attention_resolution,
        self.initializer, name='discriminator')


class Generator(tf_keras.Model):
  """Makes images from noise and labels.

  Args:
    norm_act: a factory of `get_norm_act`. Each block has two such layers, made conditional; an unconditional one
      precedes the last convolution.
    resolution: of the images, 32, 64, 128 or 256 pixels.
    channels: the unit of all widths (BigGAN: 96; 64 for 32×32).
    num_classes: number of labels.
    z_size: numbers in z (default 120).
    hierarchical: whether z is cut into one chunk more than there are blocks: the first makes the first map, and each of
      the others is a part of its block's condition (default True). Otherwise z only makes the first map.
    shared_size: numbers in the embedding of a label, which is the (other) part of all conditions (default 128). None:
      each conditional layer has a table of its own instead.
    attention_resolution: of the maps after whose block self-attention follows (default 64); None for none. There is
      none either if no block has that resolution.
    spectral_norm: whether convolutions and dense layers have spectral norm; embeddings never have (default True).
    initializer: of all weights except biases, 'orthogonal' (default) or 'n02'.
    name: of the Keras model.
    **kwargs: its `dtype`. Images are float32 for every dtype.

  Call: `generator((z, labels), training)`, z [N, z_size] float32; labels [N], integers from 0 on or, to interpolate
  between classes, their embeddings [N, shared_size] float32 as `embed` returns them. Returns images
  [N, resolution, resolution, 3] in [-1, 1].

  Raises:
    ArgumentError: for an argument out of range; when called, for a z of another size.
  """

  def __init__(self, norm_act: NormActFactory, resolution: int, channels: int, num_classes: int, z_size: int = 120,
               hierarchical: bool = True, shared_size: int | None = 128, attention_resolution: int | None = 64,
               spectral_norm: bool = True, initializer: str = 'orthogonal', name: str = 'generator', **kwargs):
    super().__init__(autocast=False, name=name, **kwargs)
    checks.check_positive(channels=channels, num_classes=num_classes, z_size=z_size,
                          shared_size=1 if shared_size is None else shared_size)
    widths = [channels * width for width in _look_up(GENERATOR_WIDTHS, resolution)]
    self.resolution = resolution
    self.num_classes = num_classes
    self.z_size = z_size
    self.shared_size = shared_size
    self.num_chunks = _count_chunks(z_size, len(widths) - 1, shared_size) if hierarchical else 1
    layers = WeightLayers(spectral_norm, initializer, self.dtype_policy)
    self.embedding = None
    if shared_size is not None:
      self.embedding = WeightLayers(False, initializer, 'float32').embedding(num_classes, shared_size, 'embedding')

    def make_norm_act(name):
      return ConditionalNormAct(norm_act, num_classes if shared_size is None else None, spectral_norm, initializer,
                                name=name, dtype=self.dtype_policy)

    self.first = layers.dense(FIRST_SIZE**2 * widths[0], 'first')
    self.blocks, self.attentions = [], []
    for i, width in enumerate(widths[1:], 1):
      self.blocks.append(GeneratorBlock(width, make_norm_act, layers, name=f'block{i}', dtype=self.dtype_policy))
      attends = FIRST_SIZE * 2**i == attention_resolution
      self.attentions.append(SelfAttention(layers, name='attention', dtype=self.dtype_policy) if attends else None)
    self.last_norm_act = norm_act(name='last_norm_act', dtype=self.dtype_policy)
    self.last = layers.convolution(3, 3, 'last')

  @tf.autograph.experimental.do_not_convert  # nothing to convert; converting doubles the time to trace
  def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool | None = None) -> tf.Tensor:
    del training  # the layers find it in Keras's context
    z, labels = inputs
    if z.shape[-1] != self.z_size:
      raise ArgumentError(f'`z` must be [N, {self.z_size}], received shape {z.shape}.')
    first, *chunks = tf.split(z, self.num_chunks, -1)
    label_condition = self.embed(labels)
    x = self.first(first)
    x = tf.reshape(x, [-1, FIRST_SIZE, FIRST_SIZE, x.shape[-1] // FIRST_SIZE**2])
    for i, (block, attention) in enumerate(zip(self.blocks, self.attentions)):
      condition = tf.concat([label_condition, chunks[i]], -1) if chunks else label_condition
      x = block((x, condition))
      if attention is not None:
        x = attention(x)
    return tf.tanh(tf.cast(self.last(self.last_norm_act(x)), tf.float32))

  def embed(self, labels: tf.Tensor) -> tf.Tensor:
    """Returns the embeddings, [N, shared_size] float32, of labels [N].

    Without a shared embedding, and for embeddings in place of integers, it returns its argument.
    """
    if self.embedding is None or not labels.dtype.is_integer:
      return labels
    return self.embedding(labels)


class Discriminator(tf_keras.Model):
  """Computes logits from images and labels: w·h + b + ⟨embedding of the label, h⟩, where h is the sum of the last maps.

  Args:
    resolution: of the images, 32, 64, 128 or 256 pixels.
    channels: the unit of all widths (BigGAN: 96; 64 for 32×32).
    num_classes: number of labels.
    attention_resolution: of the maps after whose block self-attention follows (default 64); None for none. There is
      none either if no block has that resolution.
    initializer: of all weights except biases, 'orthogonal' (default) or 'n02'.
    name: of the Keras model.
    **kwargs: its `dtype`. h and the logits are float32 for every dtype.

  All weights have spectral norm, including the embedding's. There is no normalization layer.

  Call: `discriminator((images, labels), training)`, images [N, resolution, resolution, 3] in [-1, 1], labels [N],
  integers from 0 on. Returns logits [N].

  Raises:
    ArgumentError: for an argument out of range; when called, for images of another size.
  """

  def __init__(self, resolution: int, channels: int, num_classes: int, attention_resolution: int | None = 64,
               initializer: str = 'orthogonal', name: str = 'discriminator', **kwargs):
    super().__init__(name=name, **kwargs)
    checks.check_positive(channels=channels, num_classes=num_classes)
    widths, num_halving = _look_up(DISCRIMINATOR_WIDTHS, resolution)
    self.resolution = resolution
    self.num_classes = num_classes
    layers = WeightLayers(True, initializer, self.dtype_policy)
    self.blocks, self.attentions = [], []
    for i, width in enumerate(widths, 1):
      self.blocks.append(DiscriminatorBlock(
          channels * width, layers, halves=i <= num_halving, activates_first=i > 1, name=f'block{i}',
          dtype=self.dtype_policy))
      attends = i <= num_halving and resolution // 2**i == attention_resolution
      self.attentions.append(SelfAttention(layers, name='attention', dtype=self.dtype_policy) if attends else None)
    # A sum over the maps, and products with it, exceed float16's range.
    head = WeightLayers(True, initializer, 'float32')
    self.last = head.dense(1, 'last')
    self.embedding = head.embedding(num_classes, channels * widths[-1], 'embedding')

  @tf.autograph.experimental.do_not_convert  # nothing to convert; converting doubles the time to trace
  def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool | None = None) -> tf.Tensor:
    del training  # the layers find it in Keras's context
    x, labels = inputs
    if x.shape[1:3] != (self.resolution, self.resolution):
      raise ArgumentError(f'`images` must be [N, {self.resolution}, {self.resolution}, 3], received shape {x.shape}.')
    for block, attention in zip(self.blocks, self.attentions):
      x = block(x)
      if attention is not None:
        x = attention(x)
    h = tf.reduce_sum(tf.cast(tf.nn.relu(x), tf.float32), [1, 2])
    return tf.squeeze(self.last(h), -1) + tf.reduce_sum(self.embedding(labels) * h, -1)


def _look_up(widths: dict[int, tuple], resolution: int) -> tuple:
  if resolution not in widths:
    raise ArgumentError(f'`resolution` must be one of {list(widths)}, received {resolution!r}.')
  return widths[resolution]


def _count_chunks(z_size: int, num_blocks: int, shared_size: int | None) -> int:
  """Returns the number of chunks of a hierarchical z; ArgumentError if it cannot be cut into that many."""
  if shared_size is None:
    raise ArgumentError('`hierarchical=True` needs a `shared_size`, received None: without a shared embedding a '
                        'condition is a label alone.')
  if z_size % (num_blocks + 1):
    raise ArgumentError(f'`z_size` must be a multiple of {num_blocks + 1}, one chunk for the first map and each of the '
                        f'{num_blocks} blocks, received {z_size}.')
  return num_blocks + 1
