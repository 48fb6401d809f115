"""Norm-activation layers for Keras 3 on TensorFlow, JAX and PyTorch, and models and conversions with them.

  from evonorm_tf.keras3 import EvoNormS0, get_norm_act

Use them in models made with `import keras`; layers of tf_keras and Keras 3 do not mix in one model. The equations, the
arguments, and the names, order and initial values of the weights are those of the tf_keras layers in
`evonorm_tf.layers`. Of the baselines, FRN-TLU exists for tf_keras only. With KERAS_BACKEND=jax or torch nothing here
imports TensorFlow.

Weights can be moved between the same model in tf_keras and in Keras 3, in both directions: by
`set_weights(other.get_weights())`, or by `load_weights` of a file that the other's `save_weights` (.weights.h5, in
tf_keras also .h5) or `save` (.keras, .h5) wrote. For subclassed models, whose parts the two versions name differently
in .weights.h5 and .keras, use .h5 files; tf_keras writes them by `save_weights`, Keras 3 by `save`.

The functions that build models are those of `evonorm_tf`: the norm-activation layers decide which Keras a model is of,
and a name stands here for one of Keras 3.
"""

from collections.abc import Callable
import functools
from typing import Any

from evonorm_tf.conversion.block_registry import register_assembly as register_assembly
from evonorm_tf.conversion.block_registry import register_block as register_block
from evonorm_tf.conversion.convert import convert_norm_act as convert_norm_act
from evonorm_tf.conversion.convert import plan_conversion as plan_conversion
from evonorm_tf.conversion.folding import fold_norm_acts as fold_norm_acts
from evonorm_tf.conversion.inventory import list_norm_acts as list_norm_acts
from evonorm_tf.graph.layer_graph import LayerGraph as LayerGraph
from evonorm_tf.layers.keras3 import BaselineLayer as BaselineLayer
from evonorm_tf.layers.keras3 import BatchNormAct as BatchNormAct
from evonorm_tf.layers.keras3 import EvoNormB0 as EvoNormB0
from evonorm_tf.layers.keras3 import EvoNormB1 as EvoNormB1
from evonorm_tf.layers.keras3 import EvoNormB2 as EvoNormB2
from evonorm_tf.layers.keras3 import EvoNormS0 as EvoNormS0
from evonorm_tf.layers.keras3 import EvoNormS1 as EvoNormS1
from evonorm_tf.layers.keras3 import EvoNormS2 as EvoNormS2
from evonorm_tf.layers.keras3 import get_norm_act as get_norm_act
from evonorm_tf.layers.keras3 import GraphLayer as GraphLayer
from evonorm_tf.layers.keras3 import GroupNormAct as GroupNormAct
from evonorm_tf.layers.keras3 import norm_act_names as norm_act_names
from evonorm_tf.layers.keras3 import NORM_ACTS as NORM_ACTS
from evonorm_tf.layers.keras3 import NormActLayer as NormActLayer
from evonorm_tf.layers.keras3 import PixelNormAct as PixelNormAct
from evonorm_tf.layers.registry import factory_for
from evonorm_tf.layers.registry import register_norm_act as register_norm_act
from evonorm_tf.models import efficientnet as _efficientnet
from evonorm_tf.models import mnasnet as _mnasnet
from evonorm_tf.models import mobilenet as _mobilenet
from evonorm_tf.models import resnet as _resnet


def _for_keras_3(build: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a function that builds models, to which names of layers mean those of Keras 3."""
  @functools.wraps(build)
  def build_for_keras_3(norm_act: Any, *args: Any, **options: Any) -> Any:
    return build(factory_for(norm_act, 'keras'), *args, **options)
  return build_for_keras_3


build_efficientnet = _for_keras_3(_efficientnet.build_efficientnet)
build_efficientnet_backbone = _for_keras_3(_efficientnet.build_efficientnet_backbone)
build_mnasnet_b1 = _for_keras_3(_mnasnet.build_mnasnet_b1)
build_mnasnet_b1_backbone = _for_keras_3(_mnasnet.build_mnasnet_b1_backbone)
build_mobilenet_v2 = _for_keras_3(_mobilenet.build_mobilenet_v2)
build_mobilenet_v2_backbone = _for_keras_3(_mobilenet.build_mobilenet_v2_backbone)
build_resnet = _for_keras_3(_resnet.build_resnet)
build_resnet_backbone = _for_keras_3(_resnet.build_resnet_backbone)

__all__ = sorted(name for name in globals() if not name.startswith('_') and name not in (
    'Any', 'Callable', 'factory_for', 'functools'))


def __dir__() -> list[str]:
  return __all__
