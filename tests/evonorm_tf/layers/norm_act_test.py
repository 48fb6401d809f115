"""get_norm_act: names; graphs and their files; options, errors, pickling. The registry: layers of one's own, names."""

import importlib.util
import pickle
import re
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf import keras3
from evonorm_tf.graph.found_layers import found_graphs
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import LayerGraphError
from evonorm_tf.layers.baselines import BatchNormAct
from evonorm_tf.layers.keras2 import EvoNormS0
from evonorm_tf.layers.keras2 import GraphLayer
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.layers.norm_act import NORM_ACTS
from search.graphs.known_graphs import known_graph

NAMES = ('bn_relu', 'bn_silu', 'evonorm_b0', 'evonorm_b1', 'evonorm_b2', 'evonorm_s0', 'evonorm_s1', 'evonorm_s2',
         'frn_tlu', 'gn_relu', 'gn_silu', 'in_relu', 'ln_relu', 'pixel_norm_relu', *found_graphs())
HAS_ADDONS = importlib.util.find_spec('tensorflow_addons') is not None  # no release for Python 3.12 and later


def images():
  return np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)


def test_the_names_are_known_and_listed_in_the_error():
  assert set(NORM_ACTS) == set(NAMES)
  message = r"`spec` must be one of bn_relu, .*pixel_norm_relu.*\(.json\), or the folder of a search, received 'bn_rlu'"
  with pytest.raises(ValueError, match=message):
    get_norm_act('bn_rlu')


@pytest.mark.parametrize('spelt, name', [
    ('EvoNormS0', 'evonorm_s0'), ('evonorm-b2', 'evonorm_b2'), ('evonorms1', 'evonorm_s1'), ('BN-ReLU', 'bn_relu'),
    ('Pixel Norm ReLU', 'pixel_norm_relu')])
def test_names_are_matched_however_they_are_spelt(spelt, name):
  for module in (evonorm_tf, keras3):
    assert module.get_norm_act(spelt) == module.get_norm_act(name)


def test_a_path_is_no_spelling_of_a_name(tmp_path, monkeypatch):
  (tmp_path / 'found_2' / 'report').mkdir(parents=True)
  graph = known_graph('evonorm_s1')
  graph.save(tmp_path / 'found_2' / 'report' / 'layer_1.json')
  monkeypatch.chdir(tmp_path)
  assert get_norm_act('./found_2') == get_norm_act(graph) != get_norm_act('found_2')


@pytest.mark.parametrize('wrong, near', [
    ('bn_rlu', 'bn_relu'), ('EvoNorm', 'evonorm_..'), ('evonorm_z0', 'evonorm_[bs]0'), ('group_norm', None),
    (None, None)])
def test_a_near_miss_gets_a_suggestion(wrong, near):
  with pytest.raises(ValueError) as raised:
    get_norm_act(wrong)
  said = re.search(r"received .*?\.(?: Did you mean '(.*)'\?)?$", str(raised.value))
  assert said and (said[1] is None if near is None else re.fullmatch(near, said[1]))


def test_the_names_as_a_list():
  assert evonorm_tf.norm_act_names() == sorted(NAMES)
  assert keras3.norm_act_names() == sorted(set(NAMES) - {'frn_tlu'})


@pytest.mark.parametrize('module, keras_package', [(evonorm_tf, tf_keras), (keras3, keras)])
def test_models_take_names_files_and_graphs(module, keras_package, tmp_path):
  known_graph('evonorm_s1').save(tmp_path / 'layer.json')
  mini = {'num_classes': 3, 'width_multiplier': .25, 'depth_multiplier': .25, 'small_images': True}
  for build in (module.build_resnet, module.build_mobilenet_v2, module.build_mnasnet_b1, module.build_efficientnet):
    model = build('EvoNormS0', **mini)
    assert isinstance(model, keras_package.Model)
    assert any(isinstance(layer, module.EvoNormS0) for layer in model.layers)
  for spec in (tmp_path / 'layer.json', known_graph('evonorm_s1')):
    model = module.build_resnet(spec, depth=8, num_classes=3)
    assert any(isinstance(layer, module.GraphLayer) for layer in model.layers)
  with pytest.raises(ValueError, match="received 'evonorm_s9'"):
    module.build_resnet('evonorm_s9')


def test_names_are_distinct_layers():
  names = [name for name in NAMES if HAS_ADDONS or name != 'frn_tlu']
  outputs = {name: get_norm_act(name)()(images(), training=True).numpy() for name in names}
  for i, first in enumerate(names):
    for second in names[i + 1:]:
      # With v1 = 1 S0 is S1; one channel a group is all that GN has of 4 channels in 32 groups.
      same = {first, second} in ({'evonorm_s0', 'evonorm_s1'}, {'gn_relu', 'in_relu'})
      assert np.allclose(outputs[first], outputs[second], atol=1e-3) == same, (first, second)


def test_options_and_overrides():
  factory = get_norm_act('evonorm_s0', groups=16, epsilon=.5)
  layer = factory(groups=2, center=False)
  assert (layer.groups, layer.epsilon, layer.center) == (2, .5, False)
  assert (factory().groups, factory().center) == (16, True)
  assert factory.layer_class is EvoNormS0 and factory.options == {'groups': 16, 'epsilon': .5}


@pytest.mark.parametrize('spec', [*NAMES, known_graph('evonorm_s1')], ids=str)
def test_factories_can_be_pickled(spec):
  if spec == 'frn_tlu' and not HAS_ADDONS:
    pytest.skip('tensorflow-addons is not installed.')
  factory = get_norm_act(spec, epsilon=.01)
  copy = pickle.loads(pickle.dumps(factory))
  assert copy == factory
  np.testing.assert_array_equal(copy()(images()), factory()(images()))


def test_graph_and_its_file():
  with tempfile.NamedTemporaryFile(suffix='.json') as file:
    known_graph('gn_silu').save(file.name)
    factories = [get_norm_act(file.name, groups=2), get_norm_act(known_graph('gn_silu'), groups=2)]
  layers = [factory() for factory in factories]
  assert all(isinstance(layer, GraphLayer) and layer.graph == known_graph('gn_silu') for layer in layers)
  expected = get_norm_act('gn_silu', groups=2)()(images())
  for layer in layers:
    np.testing.assert_allclose(layer(images()), expected, atol=1e-5)


@pytest.mark.parametrize('wrong', [known_graph('bn_relu').to_dict(), ['bn_relu'], 3])
def test_what_is_no_name_is_refused(wrong):
  with pytest.raises(ValueError, match=r'`spec` must be one of .*, received '):
    get_norm_act(wrong)


def test_graph_file_errors(tmp_path):
  with pytest.raises(LayerGraphError, match='missing.json: cannot be read'):
    get_norm_act(tmp_path / 'missing.json')
  (tmp_path / 'broken.json').write_text('{}')
  with pytest.raises(LayerGraphError, match='broken.json: `format` must be'):
    get_norm_act(str(tmp_path / 'broken.json'))
  with pytest.raises(TypeError, match='epsilonn'):
    get_norm_act(known_graph('bn_relu'), epsilonn=1e-3)


def test_model_of_a_graph_file_saves_and_loads(tmp_path):
  known_graph('bn_relu').save(tmp_path / 'graph.json')
  norm_act = get_norm_act(tmp_path / 'graph.json')
  model = tf_keras.Sequential([
      tf_keras.Input([3, 3, 4]), tf_keras.layers.Conv2D(4, 3), norm_act(), tf_keras.layers.Flatten(),
      tf_keras.layers.Dense(2)])
  model(images(), training=True)
  (tmp_path / 'graph.json').unlink()  # a saved model carries its graph
  model.save(tmp_path / 'model.keras')
  loaded = tf_keras.models.load_model(tmp_path / 'model.keras')
  np.testing.assert_allclose(loaded(images()), model(images()), rtol=1e-5)
  assert loaded.layers[1].graph == known_graph('bn_relu')


def test_package_names_are_imported_on_first_use():
  assert evonorm_tf.get_norm_act is get_norm_act and evonorm_tf.LayerGraph is LayerGraph
  assert {'EvoNormB0', 'get_norm_act'} <= set(dir(evonorm_tf))
  with pytest.raises(AttributeError, match="no attribute 'EvoNormB9'"):
    evonorm_tf.EvoNormB9


@pytest.mark.parametrize('name,options,option,is_open', [
    ('evonorm_s0', {}, 'groups', True), ('evonorm_s0', {'groups': 4}, 'groups', False),
    ('evonorm_s0', {}, 'synchronized', False), ('evonorm_b0', {}, 'synchronized', True),
    ('evonorm_b0', {}, 'jit_compile', True), ('gn_relu', {}, 'groups', True), ('bn_relu', {}, 'jit_compile', False)])
def test_leaves_open(name, options, option, is_open):
  assert get_norm_act(name, **options).leaves_open(option) == is_open


def test_defaults_are_what_a_layer_takes_and_a_factory_leaves_open():
  defaults = {'groups': 8, 'synchronized': True}
  assert get_norm_act('evonorm_s0').with_defaults(**defaults).options == {'groups': 8}
  assert get_norm_act('evonorm_s0', groups=4).with_defaults(**defaults).options == {'groups': 4}
  assert get_norm_act('evonorm_b0').with_defaults(**defaults).options == {'synchronized': True}
  with pytest.raises(ValueError, match='groups'):
    get_norm_act('evonorm_s0').with_defaults(groups=0)


class Rectifier:
  """y = max(slope·x, 0); the affine form is x."""

  def __init__(self, slope=1., nonlinearity=True, **kwargs):
    super().__init__(**kwargs)
    self.slope = slope
    self.nonlinearity = nonlinearity

  def call(self, x):
    return tf.maximum(self.slope * x, 0.) if self.nonlinearity else x


class Rectifier2(Rectifier, tf_keras.layers.Layer):
  pass


class Rectifier3(Rectifier, keras.layers.Layer):
  pass


def test_a_layer_of_ones_own_has_a_name(registry):
  assert evonorm_tf.register_norm_act('rectifier', Rectifier2) is Rectifier2
  assert evonorm_tf.register_norm_act('steep')(Rectifier2) is Rectifier2
  evonorm_tf.register_norm_act('bn_gelu', BatchNormAct, activation='gelu')
  assert {'rectifier', 'steep', 'bn_gelu'} <= NORM_ACTS.keys()
  assert not {'rectifier', 'steep', 'bn_gelu'} & keras3.NORM_ACTS.keys()
  factory = get_norm_act('rectifier', slope=2.)
  np.testing.assert_array_equal(factory(name='x')(images()), np.maximum(2. * images(), 0.))
  np.testing.assert_array_equal(pickle.loads(pickle.dumps(factory))()(images()), factory()(images()))
  assert get_norm_act('bn_gelu')().activation is tf_keras.activations.gelu
  with pytest.raises(ValueError, match="must be one of bn_gelu, bn_relu, .*pixel_norm_relu, rectifier, steep, the"):
    get_norm_act('rectifyer')


def test_a_layer_of_ones_own_in_models(registry):
  evonorm_tf.register_norm_act('rectifier', Rectifier2)
  model = evonorm_tf.build_mobilenet_v2(get_norm_act('rectifier'), depth_multiplier=.1, width_multiplier=.1)
  assert [layer.nonlinearity for layer in model.layers if isinstance(layer, Rectifier2)].count(False) == 7
  x = inputs = tf_keras.Input((8, 8, 3))
  x = tf_keras.layers.ReLU()(tf_keras.layers.BatchNormalization(name='bn')(x))
  converted = evonorm_tf.convert_norm_act(tf_keras.Model(inputs, x), 'rectifier')
  assert [type(layer) for layer in converted.layers[1:]] == [Rectifier2] and converted.layers[1].name == 'bn'


def test_the_registry_of_keras_3_is_its_own(registry):
  evonorm_tf.register_norm_act('rectifier', Rectifier3, slope=2.)
  assert 'rectifier' in keras3.NORM_ACTS and 'rectifier' not in NORM_ACTS
  np.testing.assert_array_equal(keras3.get_norm_act('rectifier')()(images()), np.maximum(2. * images(), 0.))
  evonorm_tf.register_norm_act('rectifier', Rectifier2)  # each Keras has one of the name
  assert get_norm_act('rectifier').layer_class is Rectifier2
  assert keras3.get_norm_act('rectifier').layer_class is Rectifier3


@pytest.mark.parametrize('layer_class', [Rectifier2, Rectifier3])
@pytest.mark.parametrize('name', ['evonorm_s0', 'bn_relu', 'rectifier'])
def test_a_taken_name_is_refused(registry, name, layer_class):
  evonorm_tf.register_norm_act('rectifier', layer_class)
  with pytest.raises(ValueError, match=f"must not be one of bn_relu, .*rectifier, which are taken, received '{name}'"):
    evonorm_tf.register_norm_act(name, layer_class)


@pytest.mark.parametrize('name,layer_class,message', [
    ('', Rectifier2, "`name` must be a string that is not empty and does not end in .json, received ''"),
    ('layer.json', Rectifier2, "does not end in .json, received 'layer.json'"),
    (None, Rectifier2, 'received None'),
    ('rectifier', Rectifier, r"must be a class of layers of tf_keras or Keras 3, received <class '.*Rectifier'>"),
    ('rectifier', lambda: Rectifier2(), 'must be a class of layers of tf_keras or Keras 3, received <function')])
def test_what_is_no_name_or_no_layer_is_refused(registry, name, layer_class, message):
  with pytest.raises(ValueError, match=message):
    evonorm_tf.register_norm_act(name, layer_class)
  assert set(NORM_ACTS) == set(NAMES)
