"""EvoNorm layers, their baselines, and models that take any norm-activation layer, for TensorFlow and tf_keras.

Names are imported on first use, so that modules without TensorFlow (layer graphs and the logic of the search) can be
imported within milliseconds. The layers for Keras 3 are in `evonorm_tf.keras3`.
"""

from typing import TYPE_CHECKING

from evonorm_tf import former_names
from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.conversion.block_registry import register_assembly as register_assembly
  from evonorm_tf.conversion.block_registry import register_block as register_block
  from evonorm_tf.conversion.block_swapping import swap_norms as swap_norms
  from evonorm_tf.conversion.convert import convert_norm_act as convert_norm_act
  from evonorm_tf.conversion.convert import plan_conversion as plan_conversion
  from evonorm_tf.conversion.folding import fold_norm_acts as fold_norm_acts
  from evonorm_tf.conversion.inventory import list_norm_acts as list_norm_acts
  from evonorm_tf.graph.layer_graph import LayerGraph as LayerGraph
  from evonorm_tf.graph.registration import register_index_set as register_index_set
  from evonorm_tf.graph.registration import register_primitive as register_primitive
  from evonorm_tf.layers.keras2 import EvoNormB0 as EvoNormB0
  from evonorm_tf.layers.keras2 import EvoNormB1 as EvoNormB1
  from evonorm_tf.layers.keras2 import EvoNormB2 as EvoNormB2
  from evonorm_tf.layers.keras2 import EvoNormS0 as EvoNormS0
  from evonorm_tf.layers.keras2 import EvoNormS1 as EvoNormS1
  from evonorm_tf.layers.keras2 import EvoNormS2 as EvoNormS2
  from evonorm_tf.layers.keras2 import GraphLayer as GraphLayer
  from evonorm_tf.layers.norm_act import get_norm_act as get_norm_act
  from evonorm_tf.layers.norm_act import norm_act_names as norm_act_names
  from evonorm_tf.layers.norm_act import register_norm_act as register_norm_act
  from evonorm_tf.models.efficientnet import build_efficientnet as build_efficientnet
  from evonorm_tf.models.efficientnet import build_efficientnet_backbone as build_efficientnet_backbone
  from evonorm_tf.models.mnasnet import build_mnasnet_b1 as build_mnasnet_b1
  from evonorm_tf.models.mnasnet import build_mnasnet_b1_backbone as build_mnasnet_b1_backbone
  from evonorm_tf.models.mobilenet import build_mobilenet_v2 as build_mobilenet_v2
  from evonorm_tf.models.mobilenet import build_mobilenet_v2_backbone as build_mobilenet_v2_backbone
  from evonorm_tf.models.resnet import build_resnet as build_resnet
  from evonorm_tf.models.resnet import build_resnet_backbone as build_resnet_backbone

__version__ = '0.2.0'
__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'layers.keras2': ('EvoNormB0', 'EvoNormB1', 'EvoNormB2', 'EvoNormS0', 'EvoNormS1', 'EvoNormS2', 'GraphLayer'),
    'graph.layer_graph': ('LayerGraph',),
    'graph.registration': ('register_index_set', 'register_primitive'),
    'layers.norm_act': ('get_norm_act', 'norm_act_names', 'register_norm_act'),
    'conversion.convert': ('convert_norm_act', 'plan_conversion'),
    'conversion.block_registry': ('register_assembly', 'register_block'),
    'conversion.block_swapping': ('swap_norms',),
    'conversion.folding': ('fold_norm_acts',),
    'conversion.inventory': ('list_norm_acts',),
    'models.resnet': ('build_resnet', 'build_resnet_backbone'),
    'models.mobilenet': ('build_mobilenet_v2', 'build_mobilenet_v2_backbone'),
    'models.mnasnet': ('build_mnasnet_b1', 'build_mnasnet_b1_backbone'),
    'models.efficientnet': ('build_efficientnet', 'build_efficientnet_backbone'),
})

former_names.install()
