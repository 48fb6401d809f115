"""Pre-activation ResNets (ResNet-v2) with any norm-activation layer (one of the paper's networks).

References: He et al., Deep Residual Learning for Image Recognition (2015), https://arxiv.org/abs/1512.03385, for the
depths and the CIFAR form; He et al., Identity Mappings in Deep Residual Networks (2016),
https://arxiv.org/abs/1603.05027, for the order of norm-act (norm-activation layer) and
convolution.

As in the EvoNorm authors' code (tensorflow/tpu `models/official/resnet/resnet_model.py`): no norm-act follows the stem,
and one precedes the pooling; the 3×3 convolution has the stride; the first block of every stage has a projection
shortcut, which reads the pre-activated input; the padding of strided convolutions does not depend on the image's size;
kernels start with variance 1 / fan-in, those of the last layer with standard deviation 0.01. The CIFAR form follows the
same rules, though He et al. give its blocks shortcuts without parameters.

The output of a stage is a sum of residuals that has not been normalized. The network itself reads it through a
norm-act: the first one of the next stage or, after the last stage, the final one. The outputs of these norm-acts are
the endpoints, as in qubvel/segmentation_models, whose decoders read `stage{n+1}_unit1_relu1` of pre-activation ResNets.
They add no parameters, so a classifier's weights fill the whole backbone of a detector.
"""

import dataclasses

from evonorm_tf import checks
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.registry import factory_for
from evonorm_tf.layers.registry import NormAct
from evonorm_tf.layers.which_keras import KERAS_2
from evonorm_tf.layers.which_keras import keras_of
from evonorm_tf.models import scaling
from evonorm_tf.models.endpoints import build_classifier
from evonorm_tf.models.endpoints import image_input
from evonorm_tf.models.endpoints import ImageShape
from evonorm_tf.models.endpoints import make_backbone
from evonorm_tf.models.endpoints import Model


@dataclasses.dataclass(frozen=True)
class Form:
  """The form of a ResNet: the numbers and kinds of its blocks.

  Attributes:
    blocks: the number of blocks of each stage.
    widths: the channels of each stage's 3×3 convolutions; the stem has as many channels as the first stage.
    bottleneck: True for blocks of 1×1, 3×3 and 1×1 convolutions, the last with four times the channels; False for basic
      blocks of two 3×3 convolutions.
    imagenet_stem: True for a stem of a 7×7 convolution and a max pooling, both of stride 2; False for a 3×3 convolution
      of stride 1.
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
  """Returns the form of the ResNet with a given depth.

  Args:
    depth: the number of layers: 18, 34, 50, 101 or 152 for the ImageNet form, any other 6n+2 from 8 up for the CIFAR
      form.

  Raises:
    ValueError: if there is no form of this depth.
  """
  if depth in _IMAGENET_FORMS:
    return _IMAGENET_FORMS[depth]
  if isinstance(depth, int) and depth >= 8 and depth % 6 == 2:
    return Form((depth // 6,) * 3, _CIFAR_WIDTHS, bottleneck=False, imagenet_stem=False)
  raise ArgumentError(f'`depth` must be one of {sorted(_IMAGENET_FORMS)} (ImageNet form) or 6n+2 (CIFAR form: 8, 14, '
                      f'20, 32, 44, 56, 110, ...), received {depth!r}.')


def scale_form(form: Form, width_multiplier: float, depth_multiplier: float) -> Form:
  """Returns a form with scaled channels and numbers of blocks.

  Args:
    form: the form to scale.
    width_multiplier: the factor of the channels, which are rounded to multiples of 8.
    depth_multiplier: the factor of each stage's number of blocks, which is rounded up.
  """
  return dataclasses.replace(
      form,
      blocks=tuple(scaling.scale_blocks(n, depth_multiplier) for n in form.blocks),
      widths=tuple(scaling.scale_channels(c, width_multiplier) for c in form.widths))


def _convolution(x: Tensor, channels: int, kernel_size: int, stride: int, name: str) -> Tensor:
  """Convolves x, `[batch, height, width, C]`; a height or width of n becomes ceil(n / stride)."""
  layers = keras_of(x).layers
  if stride > 1 and kernel_size > 1:
    # 'same' would pad even and odd sizes differently.
    x = layers.ZeroPadding2D(kernel_size // 2, name=f'{name}_padding')(x)
  return layers.Conv2D(
      channels, kernel_size, stride, padding='same' if stride == 1 else 'valid', use_bias=False,
      # By name, so that each layer makes its own: one initializer object gives the same values at every use.
      kernel_initializer='variance_scaling', name=name)(x)


def residual_block(x: Tensor, activated: Tensor, norm_act: NormAct, width: int, stride: int, bottleneck: bool,
                   projection: bool, name: str) -> Tensor:
  """Applies a residual block and returns its output, the sum of the shortcut and the last convolution.

  A norm-act precedes each of the two (basic) or three (bottleneck) convolutions; the first one is applied by the
  caller.

  Args:
    x: the block's input, `[batch, height, width, C]`.
    activated: the output of the block's first norm-act for x, of the same shape.
    norm_act: a callable that returns a fresh norm-activation layer: `norm_act(name=...)`.
    width: the channels of the 3×3 convolutions.
    stride: the stride of the block's first 3×3 convolution and of the projection.
    bottleneck: whether the block is a bottleneck; see `Form`.
    projection: whether the shortcut is a 1×1 convolution of `activated`; otherwise it is x.
    name: the prefix of the layers' names.

  Returns:
    `[batch, ceil(height / stride), ceil(width / stride), C']`, where C' is `width`, or 4·`width` for a bottleneck.
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
  return keras_of(x).layers.Add(name=f'{name}_add')([shortcut, x])


def _stem(images: Tensor, channels: int, imagenet_stem: bool) -> tuple[Tensor, int]:
  """Returns the stem's output and its level, the base-2 logarithm of its stride."""
  if not imagenet_stem:
    return _convolution(images, channels, 3, 1, 'stem_conv'), 0
  x = _convolution(images, channels, 7, 2, 'stem_conv')
  return keras_of(x).layers.MaxPooling2D(3, 2, padding='same', name='stem_pool')(x), 2


def resnet_endpoints(images: Tensor, norm_act: NormAct, form: Form) -> dict[str, Tensor]:
  """Applies a ResNet up to its last norm-act and returns its endpoints, a dict of feature maps by level.

  An endpoint is a stage's output after the norm-act that reads it: the first one of the next stage or, after the last
  stage, the final one. The feature map of level l is `[batch, ceil(height / 2^l), ceil(width / 2^l), C]`. The levels of
  the four stages are '2' to '5' with the ImageNet stem, whose stride is 4; with the 3×3 stem they begin at '0'.

  Args:
    images: a tensor `[batch, height, width, channels]`.
    norm_act: a callable that returns a fresh norm-activation layer: `norm_act(name=...)`.
    form: the form of the network, such as `get_form(50)`.

  Returns:
    A dict from the level, a string, to the feature map, first stage first.
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
                          input_shape: ImageShape = (None, None, 3), recompute: bool = False) -> Model:
  """Returns a pre-activation ResNet as a backbone.

  Args:
    norm_act: a name, file or graph, as `get_norm_act` takes it (for tf_keras; `evonorm_tf.keras3` has the same
      functions for Keras 3), or a callable that returns a fresh norm-activation layer: `norm_act(name=...)`.
    depth: the number of layers (default 50). 18 and 34 (basic blocks), 50, 101 and 152 (bottlenecks) give the ImageNet
      form of four stages, with levels '2' to '5'. Any other number 6n+2 from 8 up gives the CIFAR form: a 3×3 stem and
      three stages of n basic blocks with 16, 32 and 64 channels, with levels '0' to '2'.
    width_multiplier: the factor of the channels, which are rounded to multiples of 8 (default 1.0).
    depth_multiplier: the factor of each stage's number of blocks, which is rounded up (default 1.0).
    small_images: for images of 32×32 pixels: gives the ImageNet form a 3×3 stem of stride 1 without pooling, and so the
      levels '0' to '3' (default False). The CIFAR form always has that stem.
    input_shape: (height, width, channels) of the images; height and width may be None (default (None, None, 3)).
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them
      (default False): less memory for a longer step, in tf_keras only; see `layers.recomputed`.

  Returns:
    A `BackboneModel` from images `[batch, height, width, channels]` to feature maps by level.

  Raises:
    ValueError: if `depth` is not known, a multiplier is not positive, or `recompute` is true with other layers than
      EvoNorms of tf_keras.
  """
  norm_act = factory_for(norm_act, KERAS_2)
  checks.check_positive(width_multiplier=width_multiplier, depth_multiplier=depth_multiplier)
  form = scale_form(get_form(depth), width_multiplier, depth_multiplier)
  form = dataclasses.replace(form, imagenet_stem=form.imagenet_stem and not small_images)
  images = image_input(norm_act, input_shape)
  return make_backbone(images, resnet_endpoints(images, norm_act, form), f'resnet{depth}', recompute)


def build_resnet(norm_act: NormAct, depth: int = 50, num_classes: int = 1000, width_multiplier: float = 1.0,
                 depth_multiplier: float = 1.0, small_images: bool = False,
                 input_shape: ImageShape = (None, None, 3), recompute: bool = False) -> Model:
  """Returns a pre-activation ResNet classifier.

  Args:
    norm_act: a name, file or graph, as `get_norm_act` takes it (for tf_keras; `evonorm_tf.keras3` has the same
      functions for Keras 3), or a callable that returns a fresh norm-activation layer: `norm_act(name=...)`.
    depth: the number of layers: 18, 34, 50, 101 or 152 for the ImageNet form, any other 6n+2 from 8 up for the CIFAR
      form (default 50).
    num_classes: the number of classes, and so of logits (default 1000).
    width_multiplier: the factor of the channels, which are rounded to multiples of 8 (default 1.0).
    depth_multiplier: the factor of each stage's number of blocks, which is rounded up (default 1.0).
    small_images: for images of 32×32 pixels: gives the ImageNet form a 3×3 stem of stride 1 without pooling (default
      False).
    input_shape: (height, width, channels) of the images; height and width may be None (default (None, None, 3)).
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them
      (default False): less memory for a longer step, in tf_keras only; see `layers.recomputed`.

  Returns:
    A functional model from images `[batch, height, width, channels]` to float32 logits `[batch, num_classes]`.

  Raises:
    ValueError: if `depth` is not known, a multiplier or `num_classes` is not positive, or `recompute` is true with
      other layers than EvoNorms of tf_keras.
  """
  return build_classifier(
      build_resnet_backbone, num_classes, norm_act=norm_act, depth=depth, width_multiplier=width_multiplier,
      depth_multiplier=depth_multiplier, small_images=small_images, input_shape=input_shape,
      recompute=recompute)
