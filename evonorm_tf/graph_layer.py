"""GraphLayer, the tf_keras layer that runs a LayerGraph; its body and arguments are in `graph_body`."""

import tf_keras

from evonorm_tf import graph_body
from evonorm_tf.norm_act_layer import NormActLayer


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class GraphLayer(graph_body.Graph, NormActLayer):
  __doc__ = graph_body.Graph.__doc__
