"""`get_norm_act` for tf_keras, and the registry of its layers by name."""

import os

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers import baselines
from evonorm_tf.layers import keras2
from evonorm_tf.layers.registry import add_layers
from evonorm_tf.layers.registry import make_factory
from evonorm_tf.layers.registry import NormAct as NormAct
from evonorm_tf.layers.registry import NormActFactory as NormActFactory
from evonorm_tf.layers.registry import register_norm_act as register_norm_act

# The layers of tf_keras; those of Keras 3 are `evonorm_tf.keras3.NORM_ACTS`.
NORM_ACTS = add_layers('tf_keras', vars(keras2) | vars(baselines))


def norm_act_names() -> list[str]:
  """Returns the names that `get_norm_act` knows, those of `register_norm_act` included, in alphabetical order.

  Example:
    >>> import evonorm_tf
    >>> 'evonorm_s0' in evonorm_tf.norm_act_names()
    True
  """
  return sorted(NORM_ACTS)


def get_norm_act(spec: str | os.PathLike | LayerGraph, **options) -> NormActFactory:
  """Returns a factory of norm-activation layers for tf_keras.

  Args:
    spec: a name ("bn_relu", "evonorm_s0", ..., or one that `register_norm_act` added; `norm_act_names` lists them, and
      "EvoNormS0" or "evonorm-s0" will do, too), the path of a layer graph's JSON file (ending in .json), the folder of
      a search for its best layer, or a `LayerGraph`.
    **options: constructor arguments of the layer, such as `groups=16` or `synchronized=True`.

  Returns:
    A callable that returns a fresh layer: `factory(name=...)`, or `factory(nonlinearity=False)` for its affine form.

  Raises:
    ValueError: if the name is unknown, the file cannot be read or holds no valid graph, or an option's value is not
      valid.
    TypeError: if the layer does not take an option, or if the name implies it, as "bn_relu" implies `activation`.
  """
  return make_factory(spec, options, NORM_ACTS, keras2.GraphLayer)
