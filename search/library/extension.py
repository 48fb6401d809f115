"""What a search can be extended with from outside the package: primitives and index sets."""

from evonorm_tf.graph.registration import register_index_set as register_index_set
from evonorm_tf.graph.registration import register_primitive as register_primitive
