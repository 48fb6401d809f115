"""EvoNorm layers, their baselines, and models that take any norm-activation layer, for TensorFlow and tf_keras.

Names are imported on first use, so that modules without TensorFlow (layer graphs and the search's logic)
import in milliseconds.
"""

import importlib

_MODULE_OF = {
    **dict.fromkeys(('EvoNormB0', 'EvoNormB1', 'EvoNormB2', 'EvoNormS0', 'EvoNormS1', 'EvoNormS2'), 'evonorm'),
    'GraphLayer': 'graph_layer',
    'LayerGraph': 'layer_graph',
    'get_norm_act': 'norm_act',
    **dict.fromkeys(('convert_norm_act', 'plan_conversion'), 'convert'),
    **dict.fromkeys(('register_assembly', 'register_block', 'swap_norms'), 'block_registry'),
    'list_norm_acts': 'remaining',
    **dict.fromkeys(('build_resnet', 'build_resnet_backbone'), 'resnet'),
    **dict.fromkeys(('build_mobilenet_v2', 'build_mobilenet_v2_backbone'), 'mobilenet'),
    **dict.fromkeys(('build_mnasnet_b1', 'build_mnasnet_b1_backbone'), 'mnasnet'),
    **dict.fromkeys(('build_efficientnet', 'build_efficientnet_backbone'), 'efficientnet'),
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name):
  if name not in _MODULE_OF:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  return getattr(importlib.import_module(f'{__name__}.{_MODULE_OF[name]}'), name)


def __dir__():
  return sorted(set(globals()) | set(__all__))
