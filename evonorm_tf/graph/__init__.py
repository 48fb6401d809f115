"""Layer graphs as immutable data, and the primitives that their nodes apply; without TensorFlow."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.graph.layer_graph import INITIAL_NODES as INITIAL_NODES
  from evonorm_tf.graph.layer_graph import LayerGraph as LayerGraph
  from evonorm_tf.graph.layer_graph import LayerGraphError as LayerGraphError
  from evonorm_tf.graph.layer_graph import Node as Node
  from evonorm_tf.graph.primitives import BATCH as BATCH
  from evonorm_tf.graph.primitives import GROUP as GROUP
  from evonorm_tf.graph.primitives import INDEX_SETS as INDEX_SETS
  from evonorm_tf.graph.primitives import INSTANCE as INSTANCE
  from evonorm_tf.graph.primitives import LAYER as LAYER
  from evonorm_tf.graph.primitives import Primitive as Primitive
  from evonorm_tf.graph.primitives import PRIMITIVES as PRIMITIVES

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'layer_graph': ('INITIAL_NODES', 'LayerGraph', 'LayerGraphError', 'Node'),
    'primitives': ('BATCH', 'GROUP', 'INDEX_SETS', 'INSTANCE', 'LAYER', 'Primitive', 'PRIMITIVES'),
})
