"""Networks of inverted bottlenecks, such as MobileNetV2, MnasNet and EfficientNet.

References: Sandler et al., MobileNetV2 (2018), https://arxiv.org/abs/1801.04381, for the block; Tan et al., MnasNet
(2018), https://arxiv.org/abs/1807.11626, and Tan and Le, EfficientNet (2019), https://arxiv.org/abs/1905.11946, for
squeeze-and-excite, stochastic depth and the initial values, which are the same in all networks here.

A norm-activation layer of any kind follows the expansion and the depthwise convolution. The layer's affine form follows
the projection, which has no activation. Squeeze-and-excite keeps its own activations.
"""

from collections.abc import Sequence
import dataclasses
import types
from typing import Any

from evonorm_tf import checks
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.layers.registry import factory_for
from evonorm_tf.layers.registry import NormAct
from evonorm_tf.layers.which_keras import KERAS_2
from evonorm_tf.layers.which_keras import keras_of
from evonorm_tf.models import scaling
from evonorm_tf.models.endpoints import FEATURES
from evonorm_tf.models.endpoints import image_input
from evonorm_tf.models.endpoints import ImageShape
from evonorm_tf.models.endpoints import make_backbone
from evonorm_tf.models.endpoints import Model


@dataclasses.dataclass(frozen=True)
class Stage:
  """A stage of inverted bottlenecks: a row of the table in a network's paper.

  Attributes:
    blocks: the number of blocks.
    channels: the output channels of each block.
    stride: the stride of the first block; the others have stride 1.
    expansion: the channels of the depthwise convolution, as a multiple of the block's input channels; 1 for no
      expanding convolution.
    kernel_size: the size of the depthwise convolution's kernel, in pixels (default 3).
    squeeze_ratio: the channels inside squeeze-and-excite, as a multiple of the block's input channels; 0 (default) for
      no squeeze-and-excite.
  """
  blocks: int
  channels: int
  stride: int
  expansion: int
  kernel_size: int = 3
  squeeze_ratio: float = 0.


def scale_stages(stages: Sequence[Stage], width_multiplier: float, depth_multiplier: float) -> tuple[Stage, ...]:
  """Returns the stages with scaled channels and numbers of blocks.

  Args:
    stages: the stages of a network.
    width_multiplier: the factor of the channels, which are rounded to multiples of 8.
    depth_multiplier: the factor of the number of blocks, which is rounded up.
  """
  return tuple(dataclasses.replace(
      stage,
      blocks=scaling.scale_blocks(stage.blocks, depth_multiplier),
      channels=scaling.scale_channels(stage.channels, width_multiplier)) for stage in stages)


def _initializer(keras: types.ModuleType) -> Any:
  """Returns an initializer of one kernel: an object gives the same values at every use."""
  return keras.initializers.VarianceScaling(2., 'fan_out', 'untruncated_normal')


def _convolution(x: Tensor, channels: int, name: str, kernel_size: int = 1, stride: int = 1) -> Tensor:
  keras = keras_of(x)
  return keras.layers.Conv2D(
      channels, kernel_size, stride, padding='same', use_bias=False, kernel_initializer=_initializer(keras),
      name=name)(x)


def squeeze_and_excite(x: Tensor, squeezed_channels: int, name: str) -> Tensor:
  """Returns x·σ(W₂·SiLU(W₁·μ_{w,h}(x) + b₁) + b₂), squeeze-and-excite: x with a gate for each channel.

  Args:
    x: a tensor `[batch, height, width, C]`.
    squeezed_channels: the number of rows of W₁.
    name: the prefix of the layers' names.
  """
  keras = keras_of(x)
  gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f'{name}_squeeze')(x)
  gate = keras.layers.Conv2D(
      squeezed_channels, 1, activation='swish', kernel_initializer=_initializer(keras), name=f'{name}_reduce')(gate)
  gate = keras.layers.Conv2D(
      x.shape[-1], 1, activation='sigmoid', kernel_initializer=_initializer(keras), name=f'{name}_gate')(gate)
  return keras.layers.Multiply(name=f'{name}_excite')([x, gate])


def inverted_bottleneck(x: Tensor, norm_act: NormAct, stage: Stage, stride: int, drop_connect: float, name: str
                        ) -> Tensor:
  """Applies an inverted bottleneck: expands x, convolves each channel, projects; adds x if the shapes agree.

  Args:
    x: a tensor `[batch, height, width, C]`.
    norm_act: a callable that returns a fresh norm-activation layer, or its affine form (`nonlinearity=False`).
    stage: the stage that the block belongs to.
    stride: the block's stride; `stage.stride` is not used.
    drop_connect: the probability, in training, of dropping the block's output for an image before x is added.
    name: the prefix of the layers' names.

  Returns:
    `[batch, ceil(height / stride), ceil(width / stride), stage.channels]`.
  """
  keras, inputs, input_channels = keras_of(x), x, x.shape[-1]
  if stage.expansion > 1:
    x = _convolution(x, stage.expansion * input_channels, f'{name}_expand_conv')
    x = norm_act(name=f'{name}_expand_norm_act')(x)
  x = keras.layers.DepthwiseConv2D(
      stage.kernel_size, stride, padding='same', use_bias=False, depthwise_initializer=_initializer(keras),
      name=f'{name}_depthwise_conv')(x)
  x = norm_act(name=f'{name}_depthwise_norm_act')(x)
  if stage.squeeze_ratio:
    x = squeeze_and_excite(x, max(1, int(stage.squeeze_ratio * input_channels)), f'{name}_se')
  x = _convolution(x, stage.channels, f'{name}_project_conv')
  x = norm_act(nonlinearity=False, name=f'{name}_project_norm')(x)
  if stride > 1 or stage.channels != input_channels:
    return x
  if drop_connect:
    x = keras.layers.Dropout(drop_connect, noise_shape=(None, 1, 1, 1), name=f'{name}_drop_connect')(x)
  return keras.layers.Add(name=f'{name}_add')([inputs, x])


def inverted_bottleneck_endpoints(images: Tensor, norm_act: NormAct, stages: Sequence[Stage], stem_channels: int,
                                  stem_stride: int, drop_connect: float) -> dict[str, Tensor]:
  """Returns the last output at each level, by level: '1' for stride 2, '2' for stride 4, and so on.

  Args:
    images: a tensor `[batch, height, width, channels]`.
    norm_act: a callable that returns a fresh norm-activation layer, or its affine form (`nonlinearity=False`).
    stages: the network's stages, first to last.
    stem_channels: the channels of the first convolution.
    stem_stride: the stride of the first convolution, 1 or 2. With 1 the levels begin at '0'.
    drop_connect: the rate of stochastic depth that the blocks approach linearly, from 0 at the first block.
  """
  x = _convolution(images, stem_channels, 'stem_conv', kernel_size=3, stride=stem_stride)
  x = norm_act(name='stem_norm_act')(x)
  level, endpoints = stem_stride - 1, {}
  total, done = sum(stage.blocks for stage in stages), 0
  for i, stage in enumerate(stages, 1):
    for block in range(1, stage.blocks + 1):
      stride = stage.stride if block == 1 else 1
      x = inverted_bottleneck(x, norm_act, stage, stride, drop_connect * done / total, f'stage{i}_block{block}')
      done += 1
    level += stage.stride - 1
    endpoints[str(level)] = x
  return endpoints


def build_inverted_bottleneck_backbone(norm_act: NormAct, stages: Sequence[Stage], stem_channels: int,
                                       head_channels: int, small_images: bool, drop_connect: float,
                                       input_shape: ImageShape, name: str, recompute: bool) -> Model:
  """Returns a network of inverted bottlenecks as a backbone.

  Args:
    norm_act: a callable that returns a fresh norm-activation layer, or its affine form (`nonlinearity=False`).
    stages: the network's stages, first to last.
    stem_channels: the channels of the first convolution, 3×3 with stride 2.
    head_channels: the channels of the last convolution, 1×1, whose output is `FEATURES`.
    small_images: whether the stem and the second stage have stride 1 instead of 2, for images of 32×32 pixels.
    drop_connect: the rate of stochastic depth, in [0, 1), that the blocks approach linearly, from 0 at the first block.
    input_shape: (height, width, channels) of the images; height and width may be None.
    name: the model's name.
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them.

  Returns:
    A `BackboneModel` from images `[batch, height, width, channels]` to feature maps by level, and the output of the
    head convolution under the key `FEATURES`.

  Raises:
    ValueError: if `drop_connect` is not in [0, 1), or `recompute` is true with other layers than EvoNorms of tf_keras.
  """
  norm_act = factory_for(norm_act, KERAS_2)
  checks.check_rate(drop_connect=drop_connect)
  if small_images:
    stages = (stages[0], dataclasses.replace(stages[1], stride=1), *stages[2:])
  images = image_input(norm_act, input_shape)
  endpoints = inverted_bottleneck_endpoints(
      images, norm_act, stages, stem_channels, 1 if small_images else 2, drop_connect)
  x = _convolution(endpoints[max(endpoints)], head_channels, 'head_conv')
  endpoints[FEATURES] = norm_act(name='head_norm_act')(x)
  return make_backbone(images, endpoints, name, recompute)
