"""GraphLayer, the tf_keras layer that runs a LayerGraph; its body and arguments are in `graph_layer`."""

import tf_keras

from evonorm_tf.layers import graph_layer
from evonorm_tf.layers.keras2_norm_act_layer import NormActLayer


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class GraphLayer(graph_layer.Graph, NormActLayer):
  __doc__ = graph_layer.Graph.__doc__
