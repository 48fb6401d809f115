"""Mask R-CNN networks with any norm-activation layer in backbone and heads (the paper's instance segmentation).

The networks come from the TensorFlow Model Garden, the package `official`, which is neither patched nor copied. Each
dataclass here, such as `ResNetFpn`, describes a family of networks and produces Model Garden's configuration of one;
the defaults are those of Model Garden's COCO experiments. `build_mask_rcnn` builds the network from that configuration
and lets `convert_norm_act` replace its layers.

Each batch normalization that feeds an activation is replaced, together with it, by the norm-activation layer. Some have
no activation: the last one of a residual branch, the one of a projection, and those of the feature pyramid. They are
replaced by the layer's form without nonlinearity, which is γ·x + β for EvoNorms and a plain normalization for the
baselines. ReLUs that no normalization feeds stay: those after the sums of post-activation residual blocks and, in
SpineNet, those after the sums that merge blocks.
"""

from collections.abc import Mapping
import dataclasses
import os
from typing import Any

from official.vision.configs import common
from official.vision.configs import decoders
from official.vision.configs import maskrcnn
from official.vision.modeling import factory
from official.vision.modeling import maskrcnn_model
from official.vision.modeling.backbones.factory import build_backbone
import tf_keras

from evonorm_tf.conversion.convert import convert_norm_act
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.layers.recomputed import recompute_norm_acts
from evonorm_tf.models import backbones
from evonorm_tf.models.backbone_model import BackboneModel
from evonorm_tf.models.endpoints import FEATURES


@dataclasses.dataclass
class MaskRCNN(maskrcnn.MaskRCNN):
  """Model Garden's configuration of a Mask R-CNN, extended so that this package's backbones can be used as well.

  All fields but these are inherited from Model Garden.

  Attributes:
    backbone: the configuration of the backbone, Model Garden's or one of `evonorm_tf.models.backbones`; by default
      Model Garden's ResNet.
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them
      (default False); see `evonorm_tf.layers.recomputed`.
  """
  backbone: backbones.Backbone = dataclasses.field(default_factory=lambda: backbones.Backbone(type='resnet'))
  recompute: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Family:
  """The settings that all families of networks share. All are keyword arguments.

  NMS is non-maximum suppression, which removes boxes that overlap a better one. RPN is the region proposal network, the
  head that proposes boxes.

  Attributes:
    min_level, max_level: the first and the last level of the feature pyramid; level l has stride 2^l.
    anchor_size: the side of an anchor box, in units of its level's stride.
    rpn_filters, rpn_convs: the numbers of channels and of convolutions in the RPN.
    box_filters, box_convs, box_units: the numbers of channels and of convolutions in the box head, and the number of
      units in its dense layer.
    mask_filters, mask_convs: the numbers of channels and of convolutions in the mask head, without its deconvolution.
    separable: whether the convolutions of decoder and heads are depthwise-separable.
    pre_nms_top_k: the number of proposals per level before NMS, in training.
    num_proposals: the number of proposals per image after NMS, in training.
    test_pre_nms_top_k, test_num_proposals: the same two numbers in inference.
    num_sampled_rois, num_sampled_masks: the numbers of proposals per image on which the box head and the mask head are
      trained.
    detection_pre_nms_top_k: the number of detections per class before the final NMS.
    max_num_detections: the number of detections per image after the final NMS.
    synchronized: whether batch statistics are computed over all replicas; see `build_mask_rcnn`.
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them:
      less memory for a longer step; see `evonorm_tf.layers.recomputed`.
    norm_momentum, norm_epsilon: the momentum of the moving averages and the ε of batch normalization; no other layer
      uses them.
  """
  min_level: int = 2
  max_level: int = 6
  anchor_size: float = 8.
  rpn_filters: int = 256
  rpn_convs: int = 1
  box_filters: int = 256
  box_convs: int = 4
  box_units: int = 1024
  mask_filters: int = 256
  mask_convs: int = 4
  separable: bool = False
  pre_nms_top_k: int = 2000
  num_proposals: int = 1000
  test_pre_nms_top_k: int = 1000
  test_num_proposals: int = 1000
  num_sampled_rois: int = 512
  num_sampled_masks: int = 128
  detection_pre_nms_top_k: int = 5000
  max_num_detections: int = 100
  synchronized: bool = True
  recompute: bool = False
  norm_momentum: float = 0.997
  norm_epsilon: float = 1e-4

  def config(self, num_classes: int, image_size: int) -> MaskRCNN:
    """Returns Model Garden's configuration of the network with these settings.

    Args:
      num_classes: the number of categories plus 1, because class 0 is the background: 81 for COCO. At least 2.
      image_size: the height and width of the images in pixels, a multiple of the last level's stride.

    Raises:
      ArgumentError: if an argument is out of range.
    """
    stride = 2**self.max_level
    if num_classes < 2:
      raise ArgumentError(f'`num_classes` must be 2 at least, one being the background, received {num_classes}.')
    if image_size < 1 or image_size % stride:
      raise ArgumentError(f'`image_size` must be a multiple of {stride}, the stride of level {self.max_level}, '
                          f'received {image_size}.')
    return MaskRCNN(
        num_classes=num_classes, input_size=[image_size, image_size, 3], min_level=self.min_level,
        max_level=self.max_level, anchor=maskrcnn.Anchor(anchor_size=self.anchor_size), backbone=self._backbone(),
        decoder=self._decoder(), recompute=self.recompute, **self._heads(), **self._samplers(),
        norm_activation=common.NormActivation(
            use_sync_bn=self.synchronized, norm_momentum=self.norm_momentum, norm_epsilon=self.norm_epsilon))

  def _heads(self) -> dict:
    return {
        'rpn_head': maskrcnn.RPNHead(
            num_convs=self.rpn_convs, num_filters=self.rpn_filters, use_separable_conv=self.separable),
        'detection_head': maskrcnn.DetectionHead(
            num_convs=self.box_convs, num_filters=self.box_filters, use_separable_conv=self.separable,
            fc_dims=self.box_units),
        'mask_head': maskrcnn.MaskHead(
            num_convs=self.mask_convs, num_filters=self.mask_filters, use_separable_conv=self.separable)}

  def _samplers(self) -> dict:
    return {
        'roi_generator': maskrcnn.ROIGenerator(
            pre_nms_top_k=self.pre_nms_top_k, num_proposals=self.num_proposals,
            test_pre_nms_top_k=self.test_pre_nms_top_k, test_num_proposals=self.test_num_proposals),
        'roi_sampler': maskrcnn.ROISampler(num_sampled_rois=self.num_sampled_rois),
        'mask_sampler': maskrcnn.MaskSampler(num_sampled_masks=self.num_sampled_masks),
        'detection_generator': maskrcnn.DetectionGenerator(
            pre_nms_top_k=self.detection_pre_nms_top_k, max_num_detections=self.max_num_detections)}

  def _backbone(self) -> backbones.Backbone:
    raise NotImplementedError(f'{type(self).__name__} must define `_backbone`.')

  def _decoder(self) -> decoders.Decoder:
    raise NotImplementedError(f'{type(self).__name__} must define `_decoder`.')


@dataclasses.dataclass(frozen=True, kw_only=True)
class _FpnFamily(_Family):
  """The settings of families with a feature pyramid network (FPN) between backbone and heads.

  Attributes:
    fpn_filters: the number of channels in every level of the pyramid (default 256).
  """
  fpn_filters: int = 256

  def _decoder(self) -> decoders.Decoder:
    return decoders.Decoder(
        type='fpn', fpn=decoders.FPN(num_filters=self.fpn_filters, use_separable_conv=self.separable))


@dataclasses.dataclass(frozen=True)
class ResNetFpn(_FpnFamily):
  """A Mask R-CNN with Model Garden's post-activation ResNet and a feature pyramid network.

  The defaults are those of Model Garden's experiment maskrcnn_resnetfpn_coco. The further keyword arguments (pyramid
  levels, anchors, heads, proposals, batch normalization) are documented in the base classes `_FpnFamily` and `_Family`.

  Attributes:
    depth: the number of layers: 10, 18, 26, 34, 50 (default), 101, 152, 200, 270, 350 or 420.
  """
  depth: int = 50

  def _backbone(self) -> backbones.Backbone:
    config = backbones.Backbone(type='resnet')
    config.resnet.model_id = self.depth
    return config


@dataclasses.dataclass(frozen=True)
class PreActivationResNetFpn(_FpnFamily):
  """A Mask R-CNN with the pre-activation ResNet of `evonorm_tf.models.resnet` and a feature pyramid network.

  In this ResNet an activation follows every normalization. The further keyword arguments (pyramid levels, anchors,
  heads, proposals, batch normalization) are documented in the base classes `_FpnFamily` and `_Family`.

  Attributes:
    depth: the number of layers, such as 18, 34, 50 (default), 101 or 152; see `resnet.build_resnet_backbone`.
    width_multiplier: the factor of the channels (default 1.0).
    depth_multiplier: the factor of each stage's number of blocks (default 1.0).
  """
  depth: int = 50
  width_multiplier: float = 1.
  depth_multiplier: float = 1.

  def _backbone(self) -> backbones.Backbone:
    return backbones.Backbone(type='norm_act_resnet', norm_act_resnet=backbones.ResNet(
        depth=self.depth, width_multiplier=self.width_multiplier, depth_multiplier=self.depth_multiplier))


@dataclasses.dataclass(frozen=True)
class SpineNet(_Family):
  """A Mask R-CNN with Model Garden's SpineNet. The heads read its levels directly, without a decoder.

  The defaults are those of Model Garden's experiment maskrcnn_spinenet_coco, except for the variant, which is the
  paper's. The keyword arguments that are not listed here are documented in the base class `_Family`.

  Attributes:
    variant: '49S', '49', '96' (default), '143', '143L' or '190'.
    min_level, max_level: the first and the last level (default 3 and 7); level l has stride 2^l.
    anchor_size: the side of an anchor box, in units of its level's stride (default 3).
    norm_momentum, norm_epsilon: the momentum and the ε of batch normalization (default 0.99 and 1e-3).
  """
  variant: str = '96'
  _: dataclasses.KW_ONLY
  min_level: int = 3
  max_level: int = 7
  anchor_size: float = 3.
  norm_momentum: float = 0.99
  norm_epsilon: float = 1e-3

  def _backbone(self) -> backbones.Backbone:
    config = backbones.Backbone(type='spinenet')
    config.spinenet.override(
        {'model_id': self.variant, 'min_level': self.min_level, 'max_level': self.max_level})
    return config

  def _decoder(self) -> decoders.Decoder:
    return decoders.Decoder(type='identity', identity=decoders.Identity())


@dataclasses.dataclass(frozen=True)
class MobileNetV2Fpn(_FpnFamily):
  """A small Mask R-CNN with the MobileNetV2 of `evonorm_tf.models.mobilenet` and a feature pyramid network.

  The defaults are those of Model Garden's experiment maskrcnn_mobilenet_coco. That experiment's backbone is Model
  Garden's own MobileNetV2, with ReLU6. The last convolution of the backbone, which only classifiers use, is left out.
  The keyword arguments that are not listed here are documented in the base classes `_FpnFamily` and `_Family`.

  Attributes:
    width_multiplier: the factor of the backbone's channels (default 1.0).
    depth_multiplier: the factor of each stage's number of blocks (default 1.0).
    min_level: the first level of the feature pyramid (default 3).
    anchor_size: the side of an anchor box, in units of its level's stride (default 3).
    fpn_filters, rpn_filters, box_filters, mask_filters: the numbers of channels in the feature pyramid and in the three
      heads (default 128 each).
    box_units: the number of units in the box head's dense layer (default 512).
    separable: whether the convolutions of decoder and heads are depthwise-separable (default True).
    norm_momentum, norm_epsilon: the momentum and the ε of batch normalization (default 0.99 and 1e-3).
  """
  width_multiplier: float = 1.
  depth_multiplier: float = 1.
  _: dataclasses.KW_ONLY
  min_level: int = 3
  anchor_size: float = 3.
  fpn_filters: int = 128
  rpn_filters: int = 128
  box_filters: int = 128
  box_units: int = 512
  mask_filters: int = 128
  separable: bool = True
  norm_momentum: float = 0.99
  norm_epsilon: float = 1e-3

  def _backbone(self) -> backbones.Backbone:
    return backbones.Backbone(type='norm_act_mobilenet_v2', norm_act_mobilenet_v2=backbones.MobileNetV2(
        width_multiplier=self.width_multiplier, depth_multiplier=self.depth_multiplier))


def build_mask_rcnn(config: MaskRCNN, norm_act: str | os.PathLike, norm_act_options: Mapping[str, Any] | None = None,
                    l2_weight_decay: float = 0.) -> maskrcnn_model.MaskRCNNModel:
  """Builds a Mask R-CNN with the layer `norm_act` in backbone and heads, and creates all its weights.

  "bn_relu" gives Model Garden's own network. Unless `norm_act_options` sets them, some arguments of the layer come from
  `config.norm_activation`: `synchronized` and, for BN-ReLU and BN-SiLU, momentum and ε. There are two exceptions. In
  the mask head `synchronized` is False then, because Model Garden does not pass the setting on to it. A backbone of
  `evonorm_tf.models.backbones` takes only `synchronized` from there; its own fields `norm_act` and `norm_act_options`
  are ignored.

  The statistics of the layers depend on the shape of their input:
  - Backbone, decoder and RPN (region proposal network): `[batch, height, width, C]`. A sample is an image.
  - The convolutions of box head and mask head: `[batch · RoIs, height, width, C]`. A sample is a RoI (region of
    interest), and the batch consists of all RoIs of all images.
  - The dense layer of the box head: `[batch, RoIs, C]`. A sample is an image, and its RoIs are the spatial positions.
    EvoNorm-S0's variance over (w, h, c/g) is thus taken over the RoIs of an image and a group of channels, and
    EvoNorm-B0's variance over (w, h) over the RoIs of an image. The scores of a RoI therefore depend on the other RoIs
    of its image, including padding, but with EvoNorm-S0 not on other images.

  Args:
    config: the configuration of the network, such as `ResNetFpn().config(81, 1024)`; it is not changed.
    norm_act: the layer: a name known to `get_norm_act`, or the path of a layer graph's JSON file.
    norm_act_options: the constructor arguments of that layer; None (default) for none.
    l2_weight_decay: λ in the loss terms λ/2·‖kernel‖² of the model's `losses` (default 0). They exclude biases, the
      layers' γ, β and v1, and the depthwise kernels of backbones. They include the separable convolutions of box head
      and mask head, but not those of decoder and RPN, to which Model Garden does not pass the regularizer.

  Returns:
    The model; its class is Model Garden's.

  Raises:
    ArgumentError: if `get_norm_act` refuses `norm_act` or an option's value, or `config.recompute` is true with other
      layers than EvoNorms.
    TypeError: if the layer does not take an option.
    ValueError: if Model Garden does not know the network that `config` describes.
  """
  options = dict(norm_act_options or {})
  make_norm_act = get_norm_act(norm_act, **options)
  input_specs = tf_keras.layers.InputSpec(shape=[None, *config.input_size])
  # Halved, as in Model Garden's tasks, since tf_keras's l2 lacks the 1/2 of tf.nn.l2_loss.
  regularizer = tf_keras.regularizers.l2(l2_weight_decay / 2) if l2_weight_decay else None
  if isinstance(config.backbone.get(), backbones.NormActBackbone):
    if make_norm_act.leaves_open('synchronized'):
      options['synchronized'] = config.norm_activation.use_sync_bn
    backbone_config = backbones.make_config(config.backbone.get(), norm_act, options)
  else:
    backbone_config = config.backbone
  backbone = build_backbone(input_specs, backbone_config, config.norm_activation, regularizer)
  stock = factory.build_maskrcnn(input_specs, config, regularizer, backbone=_without_features(backbone))
  model = convert_norm_act(stock, make_norm_act)
  # Heads make their weights when they are called, which must precede the checkpoint's restoration and the optimizer.
  model(tf_keras.Input(config.input_size), image_shape=tf_keras.Input([2]), training=False)
  return recompute_norm_acts(model) if config.recompute else model


def _without_features(backbone: tf_keras.Model) -> tf_keras.Model:
  """Returns the backbone without its head convolution for classifiers, which here would get decay but no gradient."""
  if FEATURES not in backbone.output:
    return backbone
  levels = {level: output for level, output in backbone.output.items() if level != FEATURES}
  return BackboneModel(backbone.input, levels, name=backbone.name)
