"""MnasNet-B1, which has no squeeze-and-excite, in which any norm-activation layer can stand (paper section 2).

Reference: Tan et al., MnasNet: Platform-Aware Neural Architecture Search for Mobile (2018),
https://arxiv.org/abs/1807.11626; the table of B1 stands in the authors' code (tensorflow/tpu
`models/official/mnasnet/mnasnet_models.py`). The published network is BN-ReLU; the activation here is `norm_act`'s.
"""

from evonorm_tf import checks
from evonorm_tf.models import scaling
from evonorm_tf.models.endpoints import build_classifier
from evonorm_tf.models.inverted_bottleneck import build_inverted_bottleneck_backbone
from evonorm_tf.models.inverted_bottleneck import scale_stages
from evonorm_tf.models.inverted_bottleneck import Stage

STEM_CHANNELS = 32
STAGES = (
    Stage(blocks=1, channels=16, stride=1, expansion=1, kernel_size=3),
    Stage(blocks=3, channels=24, stride=2, expansion=3, kernel_size=3),
    Stage(blocks=3, channels=40, stride=2, expansion=3, kernel_size=5),
    Stage(blocks=3, channels=80, stride=2, expansion=6, kernel_size=5),
    Stage(blocks=2, channels=96, stride=1, expansion=6, kernel_size=3),
    Stage(blocks=4, channels=192, stride=2, expansion=6, kernel_size=5),
    Stage(blocks=1, channels=320, stride=1, expansion=6, kernel_size=3),
)


def build_mnasnet_b1_backbone(norm_act, width_multiplier=1.0, depth_multiplier=1.0, small_images=False,
                              head_channels=1280, input_shape=(None, None, 3)):
  """Returns MnasNet-B1 from images `[batch, height, width, 3]` to its endpoints, a `BackboneModel`.

  Args:
    norm_act: a callable that returns a fresh norm-activation layer, `norm_act(name=...)`, or its affine form,
      `norm_act(nonlinearity=False, name=...)`, which stands behind the projections.
    width_multiplier: scales the channels, rounded to multiples of 8, but not `head_channels`. The paper calls it depth
      multiplier.
    depth_multiplier: scales the number of blocks of each stage, rounded up; from 0.25 down each stage has one.
    small_images: for images of 32×32 pixels, the stem and the second stage (24 channels) have stride 1 instead of 2, so
      that the last feature map is 4×4. The levels are '0' to '3' then, and '1' to '5' otherwise.
    head_channels: the channels of the last convolution.
    input_shape: (height, width, channels) of the images; sizes may be None.

  Raises:
    ValueError: if a multiplier or `head_channels` is not positive.
  """
  checks.check_positive(
      width_multiplier=width_multiplier, depth_multiplier=depth_multiplier, head_channels=head_channels)
  return build_inverted_bottleneck_backbone(
      norm_act,
      stages=scale_stages(STAGES, width_multiplier, depth_multiplier),
      stem_channels=scaling.scale_channels(STEM_CHANNELS, width_multiplier),
      head_channels=head_channels,
      small_images=small_images,
      drop_connect=0.,
      input_shape=input_shape,
      name='mnasnet_b1')


def build_mnasnet_b1(norm_act, num_classes=1000, width_multiplier=1.0, depth_multiplier=1.0, small_images=False,
                     dropout=0.2, head_channels=1280, input_shape=(None, None, 3)):
  """Returns MnasNet-B1 from images `[batch, height, width, 3]` to logits `[batch, num_classes]`, float32.

  Args:
    num_classes: the number of logits.
    dropout: the rate before the last layer.
    norm_act, width_multiplier, depth_multiplier, small_images, head_channels, input_shape: see
      `build_mnasnet_b1_backbone`.

  Raises:
    ValueError: as `build_mnasnet_b1_backbone`; if `num_classes` is not positive or `dropout` not in [0, 1).
  """
  return build_classifier(
      build_mnasnet_b1_backbone, num_classes, dropout, norm_act=norm_act, width_multiplier=width_multiplier,
      depth_multiplier=depth_multiplier, small_images=small_images, head_channels=head_channels,
      input_shape=input_shape)
