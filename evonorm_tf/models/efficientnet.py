"""EfficientNet-B0 to B7 with any norm-activation layer (one of the EvoNorm paper's networks).

Reference: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks (2019),
https://arxiv.org/abs/1905.11946, table 1; the coefficients of the variants are from the authors' code. The published
networks use batch normalization followed by SiLU. Here `norm_act` replaces both; squeeze-and-excite keeps SiLU.
"""

import dataclasses

from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.registry import NormAct
from evonorm_tf.models import scaling
from evonorm_tf.models.endpoints import build_classifier
from evonorm_tf.models.endpoints import ImageShape
from evonorm_tf.models.endpoints import Model
from evonorm_tf.models.inverted_bottleneck import build_inverted_bottleneck_backbone
from evonorm_tf.models.inverted_bottleneck import scale_stages
from evonorm_tf.models.inverted_bottleneck import Stage


@dataclasses.dataclass(frozen=True)
class Variant:
  """The coefficients of a published EfficientNet.

  Attributes:
    width_multiplier: the factor of B0's channels.
    depth_multiplier: the factor of B0's number of blocks in each stage.
    resolution: the height and width, in pixels, of the images that the network was published with. The model takes any
      size; input pipelines read this one.
    dropout: the dropout rate before the last layer.
  """
  width_multiplier: float
  depth_multiplier: float
  resolution: int
  dropout: float


VARIANTS = {
    'b0': Variant(1.0, 1.0, 224, 0.2),
    'b1': Variant(1.0, 1.1, 240, 0.2),
    'b2': Variant(1.1, 1.2, 260, 0.3),
    'b3': Variant(1.2, 1.4, 300, 0.3),
    'b4': Variant(1.4, 1.8, 380, 0.4),
    'b5': Variant(1.6, 2.2, 456, 0.4),
    'b6': Variant(1.8, 2.6, 528, 0.5),
    'b7': Variant(2.0, 3.1, 600, 0.5),
}

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
STAGES = (
    Stage(blocks=1, channels=16, stride=1, expansion=1, kernel_size=3, squeeze_ratio=0.25),
    Stage(blocks=2, channels=24, stride=2, expansion=6, kernel_size=3, squeeze_ratio=0.25),
    Stage(blocks=2, channels=40, stride=2, expansion=6, kernel_size=5, squeeze_ratio=0.25),
    Stage(blocks=3, channels=80, stride=2, expansion=6, kernel_size=3, squeeze_ratio=0.25),
    Stage(blocks=3, channels=112, stride=1, expansion=6, kernel_size=5, squeeze_ratio=0.25),
    Stage(blocks=4, channels=192, stride=2, expansion=6, kernel_size=5, squeeze_ratio=0.25),
    Stage(blocks=1, channels=320, stride=1, expansion=6, kernel_size=3, squeeze_ratio=0.25),
)


def get_variant(variant: str) -> Variant:
  """Returns the coefficients of a published EfficientNet.

  Args:
    variant: 'b0' to 'b7'.

  Raises:
    ValueError: if `variant` is not one of these.
  """
  if variant not in VARIANTS:
    raise ArgumentError(f'`variant` must be one of {list(VARIANTS)}, received {variant!r}.')
  return VARIANTS[variant]


def build_efficientnet_backbone(norm_act: NormAct, variant: str = 'b0', width_multiplier: float | None = None,
                                depth_multiplier: float | None = None, small_images: bool = False,
                                drop_connect: float = 0.2, input_shape: ImageShape = (None, None, 3),
                                recompute: bool = False) -> Model:
  """Returns an EfficientNet as a backbone.

  Args:
    norm_act: a name, file or graph, as `get_norm_act` takes it (for tf_keras; `evonorm_tf.keras3` has the same
      functions for Keras 3), or a callable that returns a fresh norm-activation layer, `norm_act(name=...)`, or its
      affine form, `norm_act(nonlinearity=False, name=...)`, which follows the projections.
    variant: 'b0' to 'b7' (default 'b0').
    width_multiplier: the factor of all channels, which are rounded to multiples of 8; None (default) takes the
      variant's.
    depth_multiplier: the factor of each stage's number of blocks, which is rounded up; None (default) takes the
      variant's. At 0.25 and below, each stage has one block.
    small_images: for images of 32×32 pixels: the stem and the second stage (24 channels) have stride 1 instead of 2, so
      that the last feature map is 4×4 (default False). The levels are then '0' to '3', otherwise '1' to '5'.
    drop_connect: the rate of stochastic depth, in [0, 1) (default 0.2). It grows linearly with the depth, from 0 at the
      first of n blocks to `drop_connect`·(n−1)/n at the last.
    input_shape: (height, width, channels) of the images; height and width may be None (default (None, None, 3)).
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them
      (default False): less memory for a longer step, in tf_keras only; see `layers.recomputed`.

  Returns:
    A `BackboneModel` from images `[batch, height, width, channels]` to feature maps by level, and the output of the
    head convolution under the key `FEATURES`.

  Raises:
    ValueError: if `variant` is not known, a multiplier is not positive, `drop_connect` is not in [0, 1), or
      `recompute` is true with other layers than EvoNorms of tf_keras.
  """
  published = get_variant(variant)
  width_multiplier = published.width_multiplier if width_multiplier is None else width_multiplier
  depth_multiplier = published.depth_multiplier if depth_multiplier is None else depth_multiplier
  checks.check_positive(width_multiplier=width_multiplier, depth_multiplier=depth_multiplier)
  return build_inverted_bottleneck_backbone(
      norm_act,
      stages=scale_stages(STAGES, width_multiplier, depth_multiplier),
      stem_channels=scaling.scale_channels(STEM_CHANNELS, width_multiplier),
      head_channels=scaling.scale_channels(HEAD_CHANNELS, width_multiplier),
      small_images=small_images,
      drop_connect=drop_connect,
      input_shape=input_shape,
      name=f'efficientnet_{variant}',
      recompute=recompute)


def build_efficientnet(norm_act: NormAct, variant: str = 'b0', num_classes: int = 1000,
                       width_multiplier: float | None = None, depth_multiplier: float | None = None,
                       small_images: bool = False, dropout: float | None = None, drop_connect: float = 0.2,
                       input_shape: ImageShape = (None, None, 3), recompute: bool = False) -> Model:
  """Returns an EfficientNet classifier.

  Args:
    norm_act: a name, file or graph, as `get_norm_act` takes it (for tf_keras; `evonorm_tf.keras3` has the same
      functions for Keras 3), or a callable that returns a fresh norm-activation layer, `norm_act(name=...)`, or its
      affine form, `norm_act(nonlinearity=False, name=...)`, which follows the projections.
    variant: 'b0' to 'b7' (default 'b0').
    num_classes: the number of classes, and so of logits (default 1000).
    width_multiplier: the factor of all channels; None (default) takes the variant's.
    depth_multiplier: the factor of each stage's number of blocks; None (default) takes the variant's.
    small_images: whether to build the network for images of 32×32 pixels, with smaller strides (default False); see
      `build_efficientnet_backbone`.
    dropout: the dropout rate before the last layer, in [0, 1); None (default) takes the variant's.
    drop_connect: the rate of stochastic depth, in [0, 1), that the blocks approach linearly, from 0 at the first block
      (default 0.2).
    input_shape: (height, width, channels) of the images; height and width may be None (default (None, None, 3)).
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them
      (default False): less memory for a longer step, in tf_keras only; see `layers.recomputed`.

  Returns:
    A functional model from images `[batch, height, width, channels]` to float32 logits `[batch, num_classes]`.

  Raises:
    ValueError: if `variant` is not known, a multiplier or `num_classes` is not positive, `dropout` or `drop_connect`
      is not in [0, 1), or `recompute` is true with other layers than EvoNorms of tf_keras.
  """
  return build_classifier(
      build_efficientnet_backbone, num_classes, get_variant(variant).dropout if dropout is None else dropout,
      norm_act=norm_act, variant=variant, width_multiplier=width_multiplier, depth_multiplier=depth_multiplier,
      small_images=small_images, drop_connect=drop_connect, input_shape=input_shape,
      recompute=recompute)
