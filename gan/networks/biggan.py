"""BigGAN: a class-conditional generator with any norm-activation layer, a projection discriminator, and their settings.

Source: Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2019, arXiv
1809.11096, appendix B. Widths and the 32×32 form follow the authors' PyTorch code, ajbrock/BigGAN-PyTorch. This is
BigGAN, not BigGAN-deep. The projection is that of Miyato and Koyama, "cGANs with Projection Discriminator", 2018,
arXiv 1802.05637.

Departure: hierarchical z (a chunk of z for each block) requires the shared embedding of labels.
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

# For each resolution: the numbers of channels before the first block and after each block, in units of `channels`.
GENERATOR_WIDTHS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
# For each resolution: the numbers of channels after each block, and the number of blocks that halve the feature map;
# these are the first ones.
DISCRIMINATOR_WIDTHS = {
    32: ((4, 4, 4, 4), 2),
    64: ((1, 2, 4, 8, 16), 4),
    128: ((1, 2, 4, 8, 16, 16), 5),
    256: ((1, 2, 4, 8, 8, 16, 16), 6),
}
FIRST_SIZE = 4  # the height and width of the generator's first feature map


@dataclasses.dataclass(frozen=True)
class BigGAN:
  """The settings of generator and discriminator; an experiment binds them in its gin file.

  Attributes:
    channels: the unit of the generator's widths, a number of channels (BigGAN: 96; 64 for 32×32).
    discriminator_channels: the unit of the discriminator's widths; None (default) for `channels`.
    z_size: the size of z (default 120).
    hierarchical: whether each block of the generator receives a chunk of z (default True).
    shared_size: the size of the label embedding that all blocks share (default 128); None gives every conditional layer
      its own table of γ and β instead.
    attention_resolution: self-attention follows the block whose output has this height and width, in both networks
      (default 64); None for no self-attention.
    spectral_norm: whether the generator has spectral norm (default True); the discriminator always has it.
    initializer: the initializer of all weights except biases, 'orthogonal' (default) or 'n02', which is N(0, 0.02²).
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
    """Returns a `Generator` with these settings; its weights do not exist yet.

    Args:
      norm_act: a factory of norm-activation layers, as `get_norm_act` returns it.
      resolution: the height and width of the images: 32, 64, 128 or 256 pixels.
      num_classes: the number of classes.
      name: the name of the Keras model (default 'generator').

    Raises:
      ArgumentError: if an argument or a setting is invalid, or settings contradict each other.
    """
    return Generator(
        norm_act, resolution, self.channels, num_classes, self.z_size, self.hierarchical, self.shared_size,
        self.attention_resolution, self.spectral_norm, self.initializer, name=name)

  def make_discriminator(self, resolution: int, num_classes: int) -> 'Discriminator':
    """Returns a `Discriminator` with these settings; its weights do not exist yet.

    Args:
      resolution: the height and width of the images: 32, 64, 128 or 256 pixels.
      num_classes: the number of classes.

    Raises:
      ArgumentError: if an argument or a setting is invalid.
    """
    channels = self.channels if self.discriminator_channels is None else self.discriminator_channels
    return Discriminator(
        resolution, channels, num_classes, self.attention_resolution, self.initializer, name='discriminator')


class Generator(tf_keras.Model):
  """BigGAN's generator, a Keras model that makes images from noise z and class labels.

  A dense layer turns z into the first feature map, 4×4. Each residual block doubles the size. A block's condition, the
  vector from which its layers compute γ and β, consists of the label's embedding and a chunk of z.

  Args:
    norm_act: a factory of norm-activation layers, as `get_norm_act` returns it. Each block has two such layers, which
      are made conditional; an unconditional one precedes the last convolution.
    resolution: the height and width of the images: 32, 64, 128 or 256 pixels.
    channels: the unit of all widths, a number of channels (BigGAN: 96; 64 for 32×32).
    num_classes: the number of classes.
    z_size: the size of z (default 120).
    hierarchical: if True, the default, z is split into equal chunks, one for the first map and one for the condition of
      each block. If False, all of z goes into the first map, and the conditions contain the label's embedding only.
    shared_size: the size of the label embedding, which all blocks share (default 128). None gives every conditional
      layer its own table of γ and β by class, and requires `hierarchical=False`.
    attention_resolution: self-attention follows the block whose output has this height and width (default 64), if there
      is one; None for no self-attention.
    spectral_norm: whether convolutions and dense layers have spectral norm (default True); embeddings never have it.
    initializer: the initializer of all weights except biases, 'orthogonal' (default) or 'n02', which is N(0, 0.02²).
    name: the name of the Keras model (default 'generator').
    **kwargs: the `dtype` of the Keras model. Images are float32 for every dtype.

  Input: a pair (z, labels), as in `generator((z, labels), training=False)`. z is float32 [N, z_size]. Labels are
  integers [N] from 0 or, to interpolate between classes, embeddings from `embed`, float32 [N, shared_size].

  Output: images, float32 [N, resolution, resolution, 3] in [-1, 1].

  Raises:
    ArgumentError: if an argument is invalid or, when the model is called, if z has another size.
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
    """Returns images, float32 [N, resolution, resolution, 3] in [-1, 1].

    Args:
      inputs: the pair (z, labels) that the class describes.
      training: whether norm-act layers use the batch's statistics and update moving averages, and spectral norm its u;
        None (default) lets Keras decide.

    Raises:
      ArgumentError: if z has another size than `z_size`.
    """
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
    """Returns the embeddings of labels, float32 [N, shared_size].

    Args:
      labels: integers [N]. If they are embeddings already, or the generator has no shared embedding, they are returned
        as they are.
    """
    if self.embedding is None or not labels.dtype.is_integer:
      return labels
    return self.embedding(labels)


class Discriminator(tf_keras.Model):
  """BigGAN's projection discriminator, a Keras model that computes logits from images and class labels.

  The logit is w·h + b + ⟨e(label), h⟩, where h [N, C] is the last feature map after a ReLU, summed over its positions,
  e is an embedding of the labels, and w and b are the weights of a dense layer. All weights except biases have spectral
  norm. There is no normalization layer.

  Args:
    resolution: the height and width of the images: 32, 64, 128 or 256 pixels.
    channels: the unit of all widths, a number of channels (BigGAN: 96; 64 for 32×32).
    num_classes: the number of classes.
    attention_resolution: self-attention follows the block whose output has this height and width (default 64), if there
      is one; None for no self-attention.
    initializer: the initializer of all weights except biases, 'orthogonal' (default) or 'n02', which is N(0, 0.02²).
    name: the name of the Keras model (default 'discriminator').
    **kwargs: the `dtype` of the Keras model. h and the logits are float32 for every dtype.

  Input: a pair (images, labels), as in `discriminator((images, labels), training=True)`: images
  [N, resolution, resolution, 3] in [-1, 1] and integers [N] from 0.

  Output: logits, float32 [N]; greater ones mean that an image looks more real.

  Raises:
    ArgumentError: if an argument is invalid or, when the model is called, if images have another size.
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
    # The sum over the feature map, and products with it, can exceed the range of float16.
    head = WeightLayers(True, initializer, 'float32')
    self.last = head.dense(1, 'last')
    self.embedding = head.embedding(num_classes, channels * widths[-1], 'embedding')

  @tf.autograph.experimental.do_not_convert  # nothing to convert; converting doubles the time to trace
  def call(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool | None = None) -> tf.Tensor:
    """Returns logits, float32 [N].

    Args:
      inputs: the pair (images, labels) that the class describes.
      training: whether spectral norm updates its u; None (default) lets Keras decide.

    Raises:
      ArgumentError: if the images have another size than `resolution`.
    """
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
  """Returns the number of chunks of a hierarchical z; raises ArgumentError if it cannot be split into so many."""
  if shared_size is None:
    raise ArgumentError('`hierarchical=True` needs a `shared_size`, received None: without a shared embedding a '
                        'condition is a label alone.')
  if z_size % (num_blocks + 1):
    raise ArgumentError(f'`z_size` must be a multiple of {num_blocks + 1}, one chunk for the first map and each of the '
                        f'{num_blocks} blocks, received {z_size}.')
  return num_blocks + 1
