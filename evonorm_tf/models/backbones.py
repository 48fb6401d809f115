"""The models as backbones of the TensorFlow Model Garden: importing this module registers them.

Needs the extra `models`. A configuration of Model Garden that has a backbone takes ours in its place:

    config.task.model.backbone = Backbone(type='norm_act_resnet')
    config.task.model.backbone.override({
        'norm_act_resnet': {'depth': 50, 'norm_act': 'evonorm_b0', 'norm_act_options': {'synchronized': True}}})

The fields of a backbone are the arguments of its builder. Dropout in front of the logits is not among them, for it is
the classification model's `dropout_rate`. `norm_activation` of the model's configuration says nothing about these
backbones: it is for the batch normalizations of decoders and heads.

Weight decay applies to the kernels of convolutions alone, squeeze-and-excite's among them; biases, the parameters of
norm-acts (γ, β, v₁) and moving statistics have none. Depthwise kernels have none either, which is Model Garden's
default (`regularize_depthwise`) for MobileNet and EfficientNet; the authors' code of MnasNet and EfficientNet decays
them.
"""

import dataclasses
import functools

from official.modeling import hyperparams
from official.vision.configs import backbones
from official.vision.modeling.backbones.factory import register_backbone_builder
import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.models.efficientnet import build_efficientnet_backbone
from evonorm_tf.models.mnasnet import build_mnasnet_b1_backbone
from evonorm_tf.models.mobilenet import build_mobilenet_v2_backbone
from evonorm_tf.models.resnet import build_resnet_backbone


@dataclasses.dataclass
class NormActOptions(hyperparams.Config):
  """Arguments of a norm-activation layer, such as `groups` or `synchronized`; the layer knows which there are."""

  def _override(self, override_dict, is_strict=True):
    # Model Garden's strict overrides take known keys alone, and none is known here.
    super()._override(override_dict, is_strict=False)


@dataclasses.dataclass
class NormActBackbone(hyperparams.Config):
  """What the backbones have in common.

  Attributes:
    norm_act: the layer in every norm-act place, as `get_norm_act` takes it: a name or the path of a layer graph's file.
    norm_act_options: arguments of that layer.
    small_images: whether the network is that for images of 32×32 pixels.
  """
  norm_act: str = 'evonorm_s0'
  norm_act_options: NormActOptions = dataclasses.field(default_factory=NormActOptions)
  small_images: bool = False


@dataclasses.dataclass
class ResNet(NormActBackbone):
  """Arguments of `build_resnet_backbone`."""
  depth: int = 50
  width_multiplier: float = 1.0
  depth_multiplier: float = 1.0


@dataclasses.dataclass
class MobileNetV2(NormActBackbone):
  """Arguments of `build_mobilenet_v2_backbone`."""
  width_multiplier: float = 1.0
  depth_multiplier: float = 1.0
  head_channels: int = 1280


@dataclasses.dataclass
class MnasNetB1(NormActBackbone):
  """Arguments of `build_mnasnet_b1_backbone`."""
  width_multiplier: float = 1.0
  depth_multiplier: float = 1.0
  head_channels: int = 1280


@dataclasses.dataclass
class EfficientNet(NormActBackbone):
  """Arguments of `build_efficientnet_backbone`."""
  variant: str = 'b0'
  width_multiplier: float | None = None
  depth_multiplier: float | None = None
  drop_connect: float = 0.2


@dataclasses.dataclass
class Backbone(backbones.Backbone):
  """Model Garden's backbones and ours; `type` selects one."""
  norm_act_resnet: ResNet = dataclasses.field(default_factory=ResNet)
  norm_act_mobilenet_v2: MobileNetV2 = dataclasses.field(default_factory=MobileNetV2)
  norm_act_mnasnet_b1: MnasNetB1 = dataclasses.field(default_factory=MnasNetB1)
  norm_act_efficientnet: EfficientNet = dataclasses.field(default_factory=EfficientNet)


def make_config(backbone: NormActBackbone, norm_act, norm_act_options: dict) -> Backbone:
  """Returns Model Garden's configuration of a backbone with this norm-activation layer in it.

  Raises:
    ValueError: if `backbone` is none of the classes of this module.
  """
  types = [f.name for f in dataclasses.fields(Backbone) if f.default_factory is type(backbone)]
  if not types:
    raise ArgumentError(f'`backbone` must be a configuration of `evonorm_tf.models.backbones`, received {backbone!r}.')
  settings = {**backbone.as_dict(), 'norm_act': str(norm_act), 'norm_act_options': dict(norm_act_options)}
  config = Backbone(type=types[0])
  config.override({types[0]: settings})
  return config


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
def build_norm_act_backbone(input_specs, backbone_config, norm_activation_config, l2_regularizer=None):
  """Returns the `BackboneModel` that a configuration describes; the signature is Model Garden's.

  Args:
    input_specs: an InputSpec of the images, `[batch, height, width, channels]`.
    backbone_config: a `Backbone`.
    norm_activation_config: not used; see the module.
    l2_regularizer: a regularizer of kernels, or None.

  Raises:
    ValueError, TypeError: as `get_norm_act` and the network's builder.
  """
  del norm_activation_config
  options = backbone_config.get().as_dict()
  norm_act = get_norm_act(options.pop('norm_act'), **options.pop('norm_act_options'))
  backbone = _BUILDERS[backbone_config.type](norm_act, input_shape=tuple(input_specs.shape[1:]), **options)
  if l2_regularizer:
    _regularize_kernels(backbone, l2_regularizer)
  return backbone


def _regularize_kernels(model, regularizer):
  """Adds the regularization loss of every convolution's kernel to a built model, as if it had been built with it."""
  for layer in model.layers:
    # A depthwise convolution is none of these.
    if isinstance(layer, tf_keras.layers.Conv2D):
      layer.kernel_regularizer = regularizer  # for the layer's configuration
      layer.add_loss(functools.partial(regularizer, layer.kernel))
