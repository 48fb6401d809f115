"""Architectures: each family builds with the layer in every place; plain data; errors at once."""

import pickle

import pytest

from evonorm_tf.layers.keras2 import EvoNormS0
from evonorm_tf.layers.norm_act import get_norm_act
from search.evaluation.architecture import Architecture
from search.evaluation.architecture import FAMILIES
from search.journal.identity import identity_of

SMALL = {
    'resnet': {'depth': 8, 'width_multiplier': .5},
    'mobilenet_v2': {'width_multiplier': .25, 'depth_multiplier': .25, 'small_images': True},
    'mnasnet_b1': {'width_multiplier': .25, 'depth_multiplier': .25, 'small_images': True},
    'efficientnet': {'width_multiplier': .25, 'depth_multiplier': .25, 'small_images': True},
}


def layers_of(model):
  """All layers, those of nested models included."""
  return list(model._flatten_layers(include_self=False))


@pytest.mark.parametrize('family', FAMILIES)
def test_the_layer_stands_in_every_place(family):
  model = Architecture(family, SMALL[family]).make_model(get_norm_act('evonorm_s0'), 7)
  classes = [type(layer).__name__ for layer in layers_of(model)]
  assert classes.count('EvoNormS0') >= 7 and 'BatchNormalization' not in classes
  assert any(isinstance(layer, EvoNormS0) and layer.nonlinearity for layer in layers_of(model))
  assert model.output_shape == (None, 7)


def test_options_reach_the_builder():
  narrow, wide = (Architecture('resnet', {'depth': 8, 'width_multiplier': m}).make_model(get_norm_act('bn_relu'), 10)
                  for m in (.5, 1.))
  assert narrow.count_params() < .4 * wide.count_params()
  assert Architecture('resnet', {'depth': 14}).make_model(get_norm_act('bn_relu'), 10).name == 'resnet14'


def test_networks_are_fresh():
  architecture = Architecture('resnet', SMALL['resnet'])
  first, second = (architecture.make_model(get_norm_act('bn_relu'), 10) for _ in range(2))
  assert not {id(w) for w in first.weights} & {id(w) for w in second.weights}


def test_plain_data():
  architecture = Architecture('resnet', SMALL['resnet'])
  assert pickle.loads(pickle.dumps(architecture)) == architecture
  assert identity_of(a=architecture)['a']['options'] == SMALL['resnet']
  assert Architecture('resnet') == Architecture('resnet', {})


@pytest.mark.parametrize('family, options, message', [
    ('resnext', {}, r"`family` must be one of \['efficientnet', 'mnasnet_b1', .*'resnet'\], or .* received 'resnext'"),
    ('resnet', {'dept': 8}, "`options` of resnet: .*'dept'"),
    ('mobilenet_v2', {'norm_act': 'bn_relu'}, "`options` of mobilenet_v2: .*'norm_act'")])
def test_errors(family, options, message):
  with pytest.raises(ValueError, match=message):
    Architecture(family, options)
