"""The names of layers with a class of their own; found layers are of `GraphLayer`, and have tests of their own."""

from evonorm_tf import keras3
from evonorm_tf.graph.found_layers import found_graphs
from evonorm_tf.layers.norm_act import NORM_ACTS

KERAS_2_NAMES = tuple(name for name in NORM_ACTS if name not in found_graphs())
KERAS_3_NAMES = tuple(name for name in keras3.NORM_ACTS if name not in found_graphs())
