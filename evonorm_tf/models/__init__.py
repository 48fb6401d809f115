"""Image models with any norm-activation layer: ResNet, MobileNetV2, MnasNet-B1 and EfficientNet-B0 to B7.

Each is available as a classifier and as a backbone. `evonorm_tf.models.backbones` registers the backbones with the
TensorFlow Model Garden; it needs the extra `models`.
"""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.models.backbone_model import BackboneModel as BackboneModel
  from evonorm_tf.models.efficientnet import build_efficientnet as build_efficientnet
  from evonorm_tf.models.efficientnet import build_efficientnet_backbone as build_efficientnet_backbone
  from evonorm_tf.models.efficientnet import get_variant as get_variant
  from evonorm_tf.models.endpoints import build_classifier as build_classifier
  from evonorm_tf.models.endpoints import FEATURES as FEATURES
  from evonorm_tf.models.mnasnet import build_mnasnet_b1 as build_mnasnet_b1
  from evonorm_tf.models.mnasnet import build_mnasnet_b1_backbone as build_mnasnet_b1_backbone
  from evonorm_tf.models.mobilenet import build_mobilenet_v2 as build_mobilenet_v2
  from evonorm_tf.models.mobilenet import build_mobilenet_v2_backbone as build_mobilenet_v2_backbone
  from evonorm_tf.models.resnet import build_resnet as build_resnet
  from evonorm_tf.models.resnet import build_resnet_backbone as build_resnet_backbone

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'efficientnet': ('build_efficientnet', 'build_efficientnet_backbone', 'get_variant'),
    'backbone_model': ('BackboneModel',),
    'endpoints': ('build_classifier', 'FEATURES'),
    'mnasnet': ('build_mnasnet_b1', 'build_mnasnet_b1_backbone'),
    'mobilenet': ('build_mobilenet_v2', 'build_mobilenet_v2_backbone'),
    'resnet': ('build_resnet', 'build_resnet_backbone'),
})
