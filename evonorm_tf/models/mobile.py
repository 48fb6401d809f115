"""The builder of MobileNetV2 and MnasNet-B1, networks of inverted bottlenecks given by a table of stages."""

from collections.abc import Sequence
import dataclasses

from evonorm_tf import checks
from evonorm_tf.layers.registry import NormAct
from evonorm_tf.models import scaling
from evonorm_tf.models.endpoints import build_classifier
from evonorm_tf.models.endpoints import ImageShape
from evonorm_tf.models.endpoints import Model
from evonorm_tf.models.inverted_bottleneck import build_inverted_bottleneck_backbone
from evonorm_tf.models.inverted_bottleneck import scale_stages
from evonorm_tf.models.inverted_bottleneck import Stage


@dataclasses.dataclass(frozen=True)
class MobileNetwork:
  """A network given by its table of stages, with methods that build it as a backbone or as a classifier.

  Attributes:
    name: the name of the models.
    stages: the rows of the table, first to last.
    widens_head: whether a width multiplier above 1 also scales the last convolution's channels.
    stem_channels: the channels of the first convolution (default 32).
  """
  name: str
  stages: Sequence[Stage]
  widens_head: bool
  stem_channels: int = 32

  def build_backbone(self, norm_act: NormAct, width_multiplier: float = 1.0, depth_multiplier: float = 1.0,
                     small_images: bool = False, head_channels: int = 1280,
                     input_shape: ImageShape = (None, None, 3), recompute: bool = False) -> Model:
    """Returns the network as a backbone.

    Args:
      norm_act: a name, file or graph, as `get_norm_act` takes it (for tf_keras; `evonorm_tf.keras3` has the same
        functions for Keras 3), or a callable that returns a fresh norm-activation layer, `norm_act(name=...)`, or its
        affine form, `norm_act(nonlinearity=False, name=...)`, which follows the projections.
      width_multiplier: the factor of the channels, which are rounded to multiples of 8 (default 1.0). MnasNet's paper
        calls it depth multiplier.
      depth_multiplier: the factor of each stage's number of blocks, which is rounded up (default 1.0). At 0.25 and
        below, each stage has one block.
      small_images: for images of 32×32 pixels: the stem and the second stage (24 channels) have stride 1 instead of 2,
        so that the last feature map is 4×4 (default False). The levels are then '0' to '3', otherwise '1' to '5'.
      head_channels: the channels of the last convolution (default 1280). A width multiplier above 1 scales them in
        MobileNetV2 but not in MnasNet-B1; one below 1 never does, so set a small number here for a mini network.
      input_shape: (height, width, channels) of the images; height and width may be None (default (None, None, 3)).
      recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping
        them (default False): less memory for a longer step, in tf_keras only; see `layers.recomputed`.

    Returns:
      A `BackboneModel` from images `[batch, height, width, channels]` to feature maps by level, and the output of the
      head convolution under the key `FEATURES`.

    Raises:
      ValueError: if a multiplier or `head_channels` is not positive, or `recompute` is true with other layers than
        EvoNorms of tf_keras.
    """
    checks.check_positive(
        width_multiplier=width_multiplier, depth_multiplier=depth_multiplier, head_channels=head_channels)
    if self.widens_head and width_multiplier > 1:
      head_channels = scaling.scale_channels(head_channels, width_multiplier)
    return build_inverted_bottleneck_backbone(
        norm_act,
        stages=scale_stages(self.stages, width_multiplier, depth_multiplier),
        stem_channels=scaling.scale_channels(self.stem_channels, width_multiplier),
        head_channels=head_channels,
        small_images=small_images,
        drop_connect=0.,
        input_shape=input_shape,
        name=self.name,
        recompute=recompute)

  def build_model(self, norm_act: NormAct, num_classes: int = 1000, width_multiplier: float = 1.0,
                  depth_multiplier: float = 1.0, small_images: bool = False, dropout: float | None = 0.2,
                  head_channels: int = 1280, input_shape: ImageShape = (None, None, 3), recompute: bool = False
                  ) -> Model:
    """Returns the network as a classifier.

    Args:
      norm_act: a name, file or graph, as `get_norm_act` takes it (for tf_keras; `evonorm_tf.keras3` has the same
        functions for Keras 3), or a callable that returns a fresh norm-activation layer, `norm_act(name=...)`, or its
        affine form, `norm_act(nonlinearity=False, name=...)`, which follows the projections.
      num_classes: the number of classes, and so of logits (default 1000).
      width_multiplier: the factor of the channels, which are rounded to multiples of 8 (default 1.0).
      depth_multiplier: the factor of each stage's number of blocks, which is rounded up (default 1.0).
      small_images: whether to build the network for images of 32×32 pixels, with smaller strides (default False); see
        `build_backbone`.
      dropout: the dropout rate before the last layer, in [0, 1) (default 0.2); None for no dropout layer.
      head_channels: the channels of the last convolution (default 1280); see `build_backbone`.
      input_shape: (height, width, channels) of the images; height and width may be None (default (None, None, 3)).
      recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping
        them (default False): less memory for a longer step, in tf_keras only; see `layers.recomputed`.

    Returns:
      A functional model from images `[batch, height, width, channels]` to float32 logits `[batch, num_classes]`.

    Raises:
      ValueError: if a multiplier, `num_classes` or `head_channels` is not positive, `dropout` is not in [0, 1), or
        `recompute` is true with other layers than EvoNorms of tf_keras.
    """
    return build_classifier(
        self.build_backbone, num_classes, dropout, norm_act=norm_act, width_multiplier=width_multiplier,
        depth_multiplier=depth_multiplier, small_images=small_images, head_channels=head_channels,
        input_shape=input_shape, recompute=recompute)
