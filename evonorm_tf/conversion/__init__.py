"""Conversion of existing models: norm-activation layers replace batch normalizations and their activations."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.conversion.block_registry import register_assembly as register_assembly
  from evonorm_tf.conversion.block_registry import register_block as register_block
  from evonorm_tf.conversion.block_swapping import swap_norms as swap_norms
  from evonorm_tf.conversion.convert import ConversionPlan as ConversionPlan
  from evonorm_tf.conversion.convert import convert_norm_act as convert_norm_act
  from evonorm_tf.conversion.convert import plan_conversion as plan_conversion
  from evonorm_tf.conversion.folding import fold_norm_acts as fold_norm_acts
  from evonorm_tf.conversion.inventory import list_norm_acts as list_norm_acts
  from evonorm_tf.conversion.inventory import NormOrAct as NormOrAct

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'block_registry': ('register_assembly', 'register_block'),
    'block_swapping': ('swap_norms',),
    'convert': ('convert_norm_act', 'ConversionPlan', 'plan_conversion'),
    'folding': ('fold_norm_acts',),
    'inventory': ('list_norm_acts', 'NormOrAct'),
})
