"""The models of this package as backbones of the TensorFlow Model Garden; importing this module registers them there.

This needs the extra `models`. In a configuration of Model Garden that has a backbone, put one of these in its place:

    config.task.model.backbone = Backbone(type='norm_act_resnet')
    config.task.model.backbone.override({
        'norm_act_resnet': {'depth': 50, 'norm_act': 'evonorm_b0', 'norm_act_options': {'synchronized': True}}})

The fields of a backbone's configuration are the arguments of its builder. Dropout before the logits is not among them,
because it is the classification model's `dropout_rate`. The model configuration's `norm_activation` has no effect on
these backbones; it sets the batch normalizations of decoders and heads.

Weight decay applies only to the kernels of convolutions, including those of squeeze-and-excite. Biases, the weights of
norm-activation layers (γ, β, v1) and moving statistics have none. Depthwise kernels have none either, which is Model
Garden's default (`regularize_depthwise`) for MobileNet and EfficientNet; the authors' code of MnasNet and EfficientNet
decays them.
"""

from collections.abc import Mapping
import dataclasses
import functools
import os
from typing import Any

from official.modeling import hyperparams
from official.vision.configs import backbones
from official.vision.modeling.backbones.factory import register_backbone_builder
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models.backbone_model import BackboneModel
from evonorm_tf.models.efficientnet import build_efficientnet_backbone
from evonorm_tf.models.mnasnet import build_mnasnet_b1_backbone
from evonorm_tf.models.mobilenet import build_mobilenet_v2_backbone
from evonorm_tf.models.resnet import build_resnet_backbone


@dataclasses.dataclass
class NormActOptions(hyperparams.Config):
  """The constructor arguments of a norm-activation layer, such as `groups` or `synchronized`; the layer checks them."""

  def _override(self, override_dict: dict[str, Any], is_strict: bool = True) -> None:
    # Model Garden's strict overrides accept known keys only, and no key is known here.
    super()._override(override_dict, is_strict=False)


@dataclasses.dataclass
class NormActBackbone(hyperparams.Config):
  """Base class of the backbones' configurations.

  Attributes:
    norm_act: the norm-activation layer: a name known to `get_norm_act`, or the path of a layer graph's JSON file
      (default 'evonorm_s0').
    norm_act_options: the constructor arguments of that layer (default: none).
    small_images: whether to build the network for images of 32×32 pixels (default False); see the builder's argument.
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them
      (default False); see the builder's argument.
  """
  norm_act: str = 'evonorm_s0'
  norm_act_options: NormActOptions = dataclasses.field(default_factory=NormActOptions)
  small_images: bool = False
  recompute: bool = False


@dataclasses.dataclass
class ResNet(NormActBackbone):
  """The configuration of a pre-activation ResNet, built by `build_resnet_backbone`.

  It also has the attributes of `NormActBackbone`: `norm_act`, `norm_act_options`, `small_images` and
  `recompute`.

  Attributes:
    depth: 18, 34, 50, 101 or 152 for the ImageNet form, any other 6n+2 for the CIFAR form (default 50).
    width_multiplier: the factor of the channels (default 1.0).
    depth_multiplier: the factor of each stage's number of blocks (default 1.0).
  """
  depth: int = 50
  width_multiplier: float = 1.0
  depth_multiplier: float = 1.0


@dataclasses.dataclass
class MobileNetV2(NormActBackbone):
  """The configuration of a MobileNetV2, built by `build_mobilenet_v2_backbone`.

  It also has the attributes of `NormActBackbone`: `norm_act`, `norm_act_options`, `small_images` and
  `recompute`.

  Attributes:
    width_multiplier: the factor of the channels (default 1.0).
    depth_multiplier: the factor of each stage's number of blocks (default 1.0).
    head_channels: the channels of the last convolution (default 1280).
  """
  width_multiplier: float = 1.0
  depth_multiplier: float = 1.0
  head_channels: int = 1280


@dataclasses.dataclass
class MnasNetB1(NormActBackbone):
  """The configuration of an MnasNet-B1, built by `build_mnasnet_b1_backbone`.

  It also has the attributes of `NormActBackbone`: `norm_act`, `norm_act_options`, `small_images` and
  `recompute`.

  Attributes:
    width_multiplier: the factor of the channels (default 1.0).
    depth_multiplier: the factor of each stage's number of blocks (default 1.0).
    head_channels: the channels of the last convolution (default 1280).
  """
  width_multiplier: float = 1.0
  depth_multiplier: float = 1.0
  head_channels: int = 1280


@dataclasses.dataclass
class EfficientNet(NormActBackbone):
  """The configuration of an EfficientNet, built by `build_efficientnet_backbone`.

  It also has the attributes of `NormActBackbone`: `norm_act`, `norm_act_options`, `small_images` and
  `recompute`.

  Attributes:
    variant: 'b0' to 'b7' (default 'b0').
    width_multiplier: the factor of the channels; None (default) takes the variant's.
    depth_multiplier: the factor of each stage's number of blocks; None (default) takes the variant's.
    drop_connect: the rate of stochastic depth, in [0, 1), that the blocks approach linearly, from 0 at the first block
      (default 0.2).
  """
  variant: str = 'b0'
  width_multiplier: float | None = None
  depth_multiplier: float | None = None
  drop_connect: float = 0.2


@dataclasses.dataclass
class Backbone(backbones.Backbone):
  """The configuration of any backbone, Model Garden's or one of this module; `type` names the field that is used.

  Attributes:
    norm_act_resnet: the configuration for type 'norm_act_resnet'.
    norm_act_mobilenet_v2: the configuration for type 'norm_act_mobilenet_v2'.
    norm_act_mnasnet_b1: the configuration for type 'norm_act_mnasnet_b1'.
    norm_act_efficientnet: the configuration for type 'norm_act_efficientnet'.
  """
  norm_act_resnet: ResNet = dataclasses.field(default_factory=ResNet)
  norm_act_mobilenet_v2: MobileNetV2 = dataclasses.field(default_factory=MobileNetV2)
  norm_act_mnasnet_b1: MnasNetB1 = dataclasses.field(default_factory=MnasNetB1)
  norm_act_efficientnet: EfficientNet = dataclasses.field(default_factory=EfficientNet)


def make_config(backbone: NormActBackbone, norm_act: str | os.PathLike, norm_act_options: Mapping[str, Any]
                ) -> Backbone:
  """Returns Model Garden's configuration of a backbone with a given norm-activation layer.

  Args:
    backbone: the backbone's configuration; its own `norm_act` and `norm_act_options` are ignored.
    norm_act: the layer: a name known to `get_norm_act`, or the path of a layer graph's JSON file.
    norm_act_options: the constructor arguments of that layer.

  Raises:
    ValueError: if `backbone` is not of a configuration class of this module.
  """
  types = [f.name for f in dataclasses.fields(Backbone) if f.default_factory is type(backbone)]
  if not types:
    raise ArgumentError(f'`backbone` must be a configuration of `evonorm_tf.models.backbones`, received {backbone!r}.')
  settings = {**backbone.as_dict(), 'norm_act': str(norm_act), 'norm_act_options': dict(norm_act_options)}
  config = Backbone(type=types[0])
  config.override({types[0]: settings})
  return config


def checkpoint_settings(backbone: hyperparams.Config) -> dict[str, Any]:
  """Returns the settings of a backbone's configuration on which its checkpoints depend, as JSON data.

  Args:
    backbone: the configuration, Model Garden's or one of this module.
  """
  return {name: value for name, value in backbone.as_dict().items() if name != 'recompute'}


_BUILDERS = {
    'norm_act_resnet': build_resnet_backbone,
    'norm_act_mobilenet_v2': build_mobilenet_v2_backbone,
    'norm_act_mnasnet_b1': build_mnasnet_b1_backbone,
    'norm_act_efficientnet': build_efficientnet_backbone,
}


@register_backbone_builder('norm_act_resnet')
@register_backbone_builder('norm_act_mobilenet_v2')
@register_backbone_builder('norm_act_mnasnet_b1')
@register_backbone_builder('norm_act_efficientnet')
def build_norm_act_backbone(input_specs: tf_keras.layers.InputSpec, backbone_config: Backbone,
                            norm_activation_config: hyperparams.Config,
                            l2_regularizer: tf_keras.regularizers.Regularizer | None = None) -> BackboneModel:
  """Returns the backbone that a configuration describes. Model Garden's factory calls this function.

  Args:
    input_specs: the shape of the images, `[batch, height, width, channels]`.
    backbone_config: the configuration; its `type` selects the network.
    norm_activation_config: ignored; the backbone's configuration sets its norm-activation layer.
    l2_regularizer: a regularizer of the kernels of convolutions that are not depthwise; None (default) for none.

  Raises:
    ValueError: if a value of the configuration is not valid, such as an unknown `norm_act`, `depth` or `variant`.
    TypeError: if `norm_act_options` has an argument that the layer does not take.
  """
  del norm_activation_config
  options = backbone_config.get().as_dict()
  norm_act = get_norm_act(options.pop('norm_act'), **options.pop('norm_act_options'))
  backbone = _BUILDERS[backbone_config.type](norm_act, input_shape=tuple(input_specs.shape[1:]), **options)
  if l2_regularizer:
    _regularize_kernels(backbone, l2_regularizer)
  return backbone


def _regularize_kernels(model: tf_keras.Model, regularizer: tf_keras.regularizers.Regularizer) -> None:
  """Adds the kernel regularizer of every convolution, except depthwise ones, to a model that is already built."""
  for layer in model.layers:
    # A DepthwiseConv2D is not a Conv2D, so depthwise kernels are left out.
    if isinstance(layer, tf_keras.layers.Conv2D):
      layer.kernel_regularizer = regularizer  # for the layer's configuration
      layer.add_loss(functools.partial(regularizer, layer.kernel))
