"""Norm-activation layers for tf_keras: EvoNorms, layers that run a layer graph, baselines, and a registry of names."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.layers.baselines import BaselineLayer as BaselineLayer
  from evonorm_tf.layers.baselines import BatchNormAct as BatchNormAct
  from evonorm_tf.layers.baselines import FRNTLU as FRNTLU
  from evonorm_tf.layers.baselines import GroupNormAct as GroupNormAct
  from evonorm_tf.layers.baselines import PixelNormAct as PixelNormAct
  from evonorm_tf.layers.keras2 import EvoNormB0 as EvoNormB0
  from evonorm_tf.layers.keras2 import EvoNormB1 as EvoNormB1
  from evonorm_tf.layers.keras2 import EvoNormB2 as EvoNormB2
  from evonorm_tf.layers.keras2 import EvoNormS0 as EvoNormS0
  from evonorm_tf.layers.keras2 import EvoNormS1 as EvoNormS1
  from evonorm_tf.layers.keras2 import EvoNormS2 as EvoNormS2
  from evonorm_tf.layers.keras2 import GraphLayer as GraphLayer
  from evonorm_tf.layers.keras2 import NormActLayer as NormActLayer
  from evonorm_tf.layers.norm_act import get_norm_act as get_norm_act
  from evonorm_tf.layers.norm_act import NORM_ACTS as NORM_ACTS
  from evonorm_tf.layers.norm_act import NormAct as NormAct
  from evonorm_tf.layers.norm_act import NormActFactory as NormActFactory
  from evonorm_tf.layers.norm_act import register_norm_act as register_norm_act
  from evonorm_tf.layers.norm_act_body import MovingAverages as MovingAverages

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'baselines': ('BaselineLayer', 'BatchNormAct', 'FRNTLU', 'GroupNormAct', 'PixelNormAct'),
    'keras2': ('EvoNormB0', 'EvoNormB1', 'EvoNormB2', 'EvoNormS0', 'EvoNormS1', 'EvoNormS2', 'GraphLayer',
               'NormActLayer'),
    'norm_act': ('get_norm_act', 'NORM_ACTS', 'NormAct', 'NormActFactory', 'register_norm_act'),
    'norm_act_body': ('MovingAverages',),
})
