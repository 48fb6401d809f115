"""Pre-activation ResNets (ResNet-v2) with any norm-activation layer (paper section 2).

References: He et al., Deep Residual Learning for Image Recognition (2015), https://arxiv.org/abs/1512.03385, for the
depths and the CIFAR form; He et al., Identity Mappings in Deep Residual Networks (2016),
https://arxiv.org/abs/1603.05027, for the order norm-act, convolution.

As in the EvoNorm authors' code (tensorflow/tpu `models/official/resnet/resnet_model.py`): no norm-act follows the stem,
and one precedes the pooling; the 3×3 convolution has the stride; the first block of every stage has a projection
shortcut, which reads the pre-activated input; strided convolutions pad alike at every size of the image; kernels
start with variance 1 / fan-in, those of the last layer with deviation 0.01. The CIFAR form follows the same rules,
though He et al. give its blocks shortcuts without parameters.

The outputs of the stages are sums of residuals, which nothing has normalized. The network itself reads each through a
norm-act: the first of the next stage or, after the last stage, the final one. The outputs of these norm-acts are the
endpoints, as in qubvel/segmentation_models, whose decoders read `stage{n+1}_unit1_relu1` of pre-activation ResNets.
They add no parameters, so a classifier's weights fill the whole backbone of a detector.
"""

import dataclasses

import tensorflow as tf
import tf_keras

from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import NormAct
from evonorm_tf.models import scaling
from evonorm_tf.models.endpoints import BackboneModel
from evonorm_tf.models.endpoints import build_classifier
from evonorm_tf.models.endpoints import ImageShape


@dataclasses.dataclass(frozen=True)
class Form:
  """The form of a network, which its depth selects.

  Attributes:
    blocks: the number of blocks of each stage.
    widths: the channels of each stage's 3×3 convolutions; the stem has as many as the first stage.
    bottleneck: whether blocks are 1×1, 3×3, 1×1 convolutions, the last four times as wide, instead of two 3×3.
    imagenet_stem: whether the stem is a 7×7 convolution and a max pooling, each of stride 2, instead of a 3×3 one.
  """
  blocks: tuple[int, ...]
  widths: tuple[int, ...]
  bottleneck: bool
  imagenet_stem: bool


_IMAGENET_WIDTHS = (64, 128, 256, 512)
_CIFAR_WIDTHS = (16, 32, 64)
_IMAGENET_FORMS = {
    18: Form((2, 2, 2, 2), _IMAGENET_WIDTHS, bottleneck=False, imagenet_stem=True),
    34: Form((3, 4, 6, 3), _IMAGENET_WIDTHS, bottleneck=False, imagenet_stem=True),
    50: Form((3, 4, 6, 3), _IMAGENET_WIDTHS, bottleneck=True, imagenet_stem=True),
    101: Form((3, 4, 23, 3), _IMAGENET_WIDTHS, bottleneck=True, imagenet_stem=True),
    152: Form((3, 8, 36, 3), _IMAGENET_WIDTHS, bottleneck=True, imagenet_stem=True),
}


def get_form(depth: int) -> Form:
  """Returns the ImageNet form of this depth or, where there is none, the CIFAR form of 6n+2 layers.

  Raises:
    ValueError: if there is neither.
  """
  if depth in _IMAGENET_FORMS:
    return _IMAGENET_FORMS[depth]
  if isinstance(depth, int) and depth >= 8 and depth % 6 == 2:
    return Form((depth // 6,) * 3, _CIFAR_WIDTHS, bottleneck=False, imagenet_stem=False)
  raise ArgumentError(f'`depth` must be one of {sorted(_IMAGENET_FORMS)} (ImageNet form) or 6n+2 (CIFAR form: 8, 14, '
                      f'20, 32, 44, 56, 110, ...), received {depth!r}.')


def scale_form(form: Form, width_multiplier: float, depth_multiplier: float) -> Form:
  """Returns the form with channels and blocks scaled (see `scaling`)."""
  return dataclasses.replace(
      form,
      blocks=tuple(scaling.scale_blocks(n, depth_multiplier) for n in form.blocks),
      widths=tuple(scaling.scale_channels(c, width_multiplier) for c in form.widths))


def _convolution(x: tf.Tensor, channels: int, kernel_size: int, stride: int, name: str) -> tf.Tensor:
  """Convolves x of `[batch, height, width, C]`; height and width n become ceil(n / stride)."""
  if stride > 1 and kernel_size > 1:
    # 'same' would pad even and odd sizes differently.
    x = tf_keras.layers.ZeroPadding2D(kernel_size // 2, name=f'{name}_padding')(x)
  return tf_keras.layers.Conv2D(
      channels, kernel_size, stride, padding='same' if stride == 1 else 'valid', use_bias=False,
      # By name: Keras draws the same values again from an initializer object that is used twice.
      kernel_initializer='variance_scaling', name=name)(x)


def residual_block(x: tf.Tensor, activated: tf.Tensor, norm_act: NormAct, width: int, stride: int, bottleneck: bool,
                   projection: bool, name: str) -> tf.Tensor:
  """Adds two (basic) or three (bottleneck) convolutions, each after a norm-act, to the shortcut.

  Args:
    x: `[batch, height, width, C]`.
    activated: the output of the block's first norm-act for x, of the same shape.
    norm_act: a callable that returns a fresh norm-activation layer.
    width: the channels of the 3×3 convolutions.
    stride: the stride of the block's first 3×3 convolution and of the projection.
    bottleneck: whether the block is a bottleneck; see `Form`.
    projection: whether the shortcut is a 1×1 convolution of `activated` instead of x.
    name: the prefix of the layers' names.

  Returns:
    `[batch, ceil(height / stride), ceil(width / stride), C']`, C' = width, or 4·width of a bottleneck block.
  """
  if bottleneck:
    convolutions = ((width, 1, 1), (width, 3, stride), (4 * width, 1, 1))
  else:
    convolutions = ((width, 3, stride), (width, 3, 1))
  shortcut = _convolution(activated, convolutions[-1][0], 1, stride, f'{name}_projection') if projection else x
  x = _convolution(activated, *convolutions[0], f'{name}_conv1')
  for i, convolution in enumerate(convolutions[1:], 2):
    x = norm_act(name=f'{name}_norm_act{i}')(x)
    x = _convolution(x, *convolution, f'{name}_conv{i}')
  return tf_keras.layers.Add(name=f'{name}_add')([shortcut, x])


def _stem(images: tf.Tensor, channels: int, imagenet_stem: bool) -> tuple[tf.Tensor, int]:
  """Returns the stem's output and its level, the logarithm of its stride to base 2."""
  if not imagenet_stem:
    return _convolution(images, channels, 3, 1, 'stem_conv'), 0
  x = _convolution(images, channels, 7, 2, 'stem_conv')
  return tf_keras.layers.MaxPooling2D(3, 2, padding='same', name='stem_pool')(x), 2


def resnet_endpoints(images: tf.Tensor, norm_act: NormAct, form: Form) -> dict[str, tf.Tensor]:
  """Returns the norm-act of each stage's output, by level.

  The levels are '2' (stride 4) to '5' or, without the ImageNet stem, begin at '0'.

  Args:
    images: `[batch, height, width, channels]`.
    norm_act: a callable that returns a fresh norm-activation layer: `norm_act(name=...)`.
    form: the network's form.
  """
  x, level = _stem(images, form.widths[0], form.imagenet_stem)
  endpoints = {}
  for stage, (blocks, width) in enumerate(zip(form.blocks, form.widths), 1):
    for block in range(1, blocks + 1):
      name = f'stage{stage}_block{block}'
      activated = norm_act(name=f'{name}_norm_act1')(x)
      downsamples = stage > 1 and block == 1
      if downsamples:
        endpoints[str(level)] = activated
        level += 1
      x = residual_block(x, activated, norm_act, width, 2 if downsamples else 1, form.bottleneck,
                         projection=block == 1, name=name)
  endpoints[str(level)] = norm_act(name='final_norm_act')(x)
  return endpoints


def build_resnet_backbone(norm_act: NormAct, depth: int = 50, width_multiplier: float = 1.0,
                          depth_multiplier: float = 1.0, small_images: bool = False,
                          input_shape: ImageShape = (None, None, 3)) -> BackboneModel:
  """Returns a pre-activation ResNet from images `[batch, height, width, 3]` to its endpoints, a `BackboneModel`.

  Args:
    norm_act: a callable that returns a fresh norm-activation layer: `norm_act(name=...)`.
    depth: 18 or 34 (basic blocks), 50, 101 or 152 (bottlenecks) select the ImageNet form of four stages, levels '2' to
      '5' (default 50). Any other number 6n+2 selects the CIFAR form: three stages of n basic blocks, 16, 32 and 64
      channels, stem 3×3, levels '0' to '2'.
    width_multiplier: scales the channels, rounded to multiples of 8 (default 1.0).
    depth_multiplier: scales the number of blocks of each stage, rounded up (default 1.0).
    small_images: gives the ImageNet form a 3×3 stem of stride 1 without pooling, for images of 32×32 pixels (default
      False); its levels are '0' to '3' then. The CIFAR form always has that stem.
    input_shape: (height, width, channels) of the images; sizes may be None (default (None, None, 3)).

  Raises:
    ValueError: if `depth` is not known, or a multiplier is not positive.
  """
  checks.check_positive(width_multiplier=width_multiplier, depth_multiplier=depth_multiplier)
  form = scale_form(get_form(depth), width_multiplier, depth_multiplier)
  form = dataclasses.replace(form, imagenet_stem=form.imagenet_stem and not small_images)
  images = tf_keras.Input(input_shape, name='images')
  return BackboneModel(images, resnet_endpoints(images, norm_act, form), name=f'resnet{depth}')


def build_resnet(norm_act: NormAct, depth: int = 50, num_classes: int = 1000, width_multiplier: float = 1.0,
                 depth_multiplier: float = 1.0, small_images: bool = False,
                 input_shape: ImageShape = (None, None, 3)) -> tf_keras.Model:
  """Returns a pre-activation ResNet from images `[batch, height, width, 3]` to logits `[batch, num_classes]`, float32.

  Args:
    norm_act, depth, width_multiplier, depth_multiplier, small_images, input_shape: see `build_resnet_backbone`.
    num_classes: the number of logits (default 1000).

  Raises:
    ValueError: see `build_resnet_backbone`; or if `num_classes` is not positive.
  """
  return build_classifier(
      build_resnet_backbone, num_classes, norm_act=norm_act, depth=depth, width_multiplier=width_multiplier,
      depth_multiplier=depth_multiplier, small_images=small_images, input_shape=input_shape)
