"""Every layer that has a name, and one of a layer graph, keeps the contract of layers in each Keras that has it."""

import keras
import pytest
import tf_keras

import evonorm_tf
from evonorm_tf import keras3
from evonorm_tf.layers.norm_act import NORM_ACTS
from search.graphs.known_graphs import known_graph
from tests.evonorm_tf.layers.layer_contract import LayerContract
from tests.evonorm_tf.layers.layer_contract import Subject

GRAPH = known_graph('bn_silu')
SUBJECTS = (*(Subject(tf_keras, evonorm_tf.get_norm_act, spec) for spec in (*NORM_ACTS, GRAPH)),
            *(Subject(keras, keras3.get_norm_act, spec) for spec in (*keras3.NORM_ACTS, GRAPH)))


@pytest.mark.parametrize('subject', SUBJECTS, ids=str)
class TestLayers(LayerContract):
  pass
