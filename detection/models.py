"""Model Garden's Mask R-CNN with a norm-activation layer in backbone, decoder and heads (paper section 7).

A family such as `ResNetFpn` describes a network in Model Garden's configuration classes; its defaults are those of
Model Garden's COCO experiments. `build_mask_rcnn` builds the network by Model Garden's factory and exchanges the layers
by `convert_norm_act`. Model Garden is neither patched nor copied.

A batch normalization with its activation becomes the layer. One without activation (the last of a residual branch, that
of a projection, those of the feature pyramid) becomes the layer's form without nonlinearity, which is γ·x + β for
EvoNorms and the normalization for baselines. ReLUs that no normalization feeds stay: those after the sums of
post-activation residual blocks and, in SpineNet, after the sums that merge blocks.
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
from evonorm_tf.models import backbones
from evonorm_tf.models.endpoints import BackboneModel
from evonorm_tf.models.endpoints import FEATURES


@dataclasses.dataclass
class MaskRCNN(maskrcnn.MaskRCNN):
  """Model Garden's configuration of a Mask R-CNN, whose backbone may also be one of `evonorm_tf.models.backbones`."""
  backbone: backbones.Backbone = dataclasses.field(default_factory=lambda: backbones.Backbone(type='resnet'))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Family:
  """Settings that all families share.

  Attributes:
    min_level, max_level: of the feature pyramid; level l has stride 2^l.
    anchor_size: side of an anchor in strides of its level.
    rpn_filters, rpn_convs: channels and convolutions of the head that proposes boxes.
    box_filters, box_convs, box_units: channels and convolutions of the box head, and units of its dense layer.
    mask_filters, mask_convs: channels and convolutions of the mask head, not counting its deconvolution.
    separable: whether convolutions of decoder and heads are depthwise-separable.
    pre_nms_top_k, num_proposals: in training, boxes of a level before non-maximum suppression and of an image after it.
    test_pre_nms_top_k, test_num_proposals: the same in inference.
    num_sampled_rois, num_sampled_masks: proposals of an image that train the box head and the mask head.
    detection_pre_nms_top_k, max_num_detections: boxes of a class before the last suppression and of an image after it.
    synchronized: whether statistics over the batch are those of all replicas; see `build_mask_rcnn`.
    norm_momentum, norm_epsilon: of batch normalization alone.
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
  norm_momentum: float = 0.997
  norm_epsilon: float = 1e-4

  def config(self, num_classes: int, image_size: int) -> MaskRCNN:
    """Returns the network's configuration.

    Args:
      num_classes: the number of classes including the background, class 0; COCO's 80 classes are numbered up to 90.
      image_size: height and width of the images in pixels, a multiple of the last level's stride.

    Raises:
      ArgumentError: for an argument out of range.
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
        decoder=self._decoder(), **self._heads(), **self._samplers(),
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
  """A feature pyramid of `fpn_filters` channels between backbone and heads."""
  fpn_filters: int = 256

  def _decoder(self) -> decoders.Decoder:
    return decoders.Decoder(
        type='fpn', fpn=decoders.FPN(num_filters=self.fpn_filters, use_separable_conv=self.separable))


@dataclasses.dataclass(frozen=True)
class ResNetFpn(_FpnFamily):
  """Model Garden's post-activation ResNet with a feature pyramid.

  The defaults are those of the experiment maskrcnn_resnetfpn_coco.

  Attributes:
    depth: 10 to 200, for instance 18 or 50 (default).
  """
  depth: int = 50

  def _backbone(self) -> backbones.Backbone:
    config = backbones.Backbone(type='resnet')
    config.resnet.model_id = self.depth
    return config


@dataclasses.dataclass(frozen=True)
class PreActivationResNetFpn(_FpnFamily):
  """The ResNet of `evonorm_tf.models.resnet`, all of whose normalizations have an activation, with a feature pyramid.

  Attributes:
    depth: as `evonorm_tf.models.resnet` takes it (default 50).
    width_multiplier: scales the channels (default 1).
    depth_multiplier: scales the number of blocks (default 1).
  """
  depth: int = 50
  width_multiplier: float = 1.
  depth_multiplier: float = 1.

  def _backbone(self) -> backbones.Backbone:
    return backbones.Backbone(type='norm_act_resnet', norm_act_resnet=backbones.ResNet(
        depth=self.depth, width_multiplier=self.width_multiplier, depth_multiplier=self.depth_multiplier))


@dataclasses.dataclass(frozen=True)
class SpineNet(_Family):
  """Model Garden's SpineNet, whose levels the heads read without a decoder.

  The defaults are those of the experiment maskrcnn_spinenet_coco, except for the variant, which is the paper's.

  Attributes:
    variant: '49S', '49', '96', '143', '143L' or '190'.
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
  """The MobileNetV2 of `evonorm_tf.models.mobilenet` with a feature pyramid, for small machines.

  The defaults are those of the experiment maskrcnn_mobilenet_coco, whose backbone is Model Garden's own MobileNetV2,
  with ReLU6. The backbone's head convolution, which only classifiers use, is left out.

  Attributes:
    width_multiplier: scales the channels (default 1).
    depth_multiplier: scales the number of blocks (default 1).
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
  """Returns a Mask R-CNN with all its weights, whose backbone, decoder and heads have the layer `norm_act`.

  "bn_relu" gives Model Garden's own network. The options that a batch normalization and the layer have in common
  (`synchronized`; with "bn_relu" also momentum and ε) are those of `config.norm_activation` unless `norm_act_options`
  sets them. Unless it does, `synchronized` is False in the mask head, to which Model Garden does not pass the setting.
  A backbone of `evonorm_tf.models.backbones` takes only `synchronized`; its own `norm_act` and `norm_act_options` are
  overridden.

  The layers' statistics are computed over these sets: in backbone, decoder and RPN an instance is an image, and space
  is that of a level. The convolutions of the box head and the mask head see [batch · RoIs, height, width, C]: an
  instance is a RoI, and the batch consists of all RoIs of all images. The dense layer of the box head sees [batch,
  RoIs, C]: an instance is again an image, and its RoIs are the positions. There EvoNorm-S0's variance over (w, h, c/g)
  is over the RoIs of an image and a group of channels, and EvoNorm-B0's instance variance is that of a channel over an
  image's RoIs: the scores of a RoI depend on the other RoIs of its image, including padding, but not on other images.

  Args:
    config: of the network, such as `ResNetFpn().config(91, 1024)`; it is not changed.
    norm_act: a name or the path of a layer graph's file, as `get_norm_act` takes it.
    norm_act_options: arguments of the layer.
    l2_weight_decay: λ of the loss terms λ/2·‖kernel‖² in the model's `losses`. Biases, the layers' γ, β and v1 and the
      depthwise kernels of backbones have none. Of the separable convolutions, those of box head and mask head have it;
      Model Garden does not pass it to decoder and RPN.

  Raises:
    ArgumentError: as `get_norm_act`.
    TypeError: for an option that the layer does not have.
    ValueError: for a network that Model Garden does not know.
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
  return model


def _without_features(backbone: tf_keras.Model) -> tf_keras.Model:
  """Leaves out the head convolution for classifiers, which in a detector would get weight decay but no gradient."""
  if FEATURES not in backbone.output:
    return backbone
  levels = {level: output for level, output in backbone.output.items() if level != FEATURES}
  return BackboneModel(backbone.input, levels, name=backbone.name)
