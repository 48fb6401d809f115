"""Every layer that has a name, and one of a layer graph, keeps the contract of layers in each Keras that has it."""

import keras
import pytest
import tf_keras

import evonorm_tf
from evonorm_tf import keras3
from search.graphs.known_graphs import known_graph
from tests.evonorm_tf.layers.layer_contract import LayerContract
from tests.evonorm_tf.layers.layer_contract import Subject
from tests.layer_names import KERAS_2_NAMES
from tests.layer_names import KERAS_3_NAMES

GRAPH = known_graph('bn_silu')
SUBJECTS = (*(Subject(tf_keras, evonorm_tf.get_norm_act, spec) for spec in (*KERAS_2_NAMES, GRAPH)),
            *(Subject(keras, keras3.get_norm_act, spec) for spec in (*KERAS_3_NAMES, GRAPH)))


@pytest.mark.parametrize('subject', SUBJECTS, ids=str)
class TestLayers(LayerContract):
  pass
