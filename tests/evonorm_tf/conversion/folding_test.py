"""fold_norm_acts: outputs against the model as it was and the paper's formula, what is folded, and what is left."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf import keras3
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from tests.evonorm_tf.comparison import images

FACES = {'tf_keras': (tf_keras, evonorm_tf), 'keras3': (keras, keras3)}


@pytest.fixture(params=FACES)
def face(request):
  """A Keras and the package for it."""
  return FACES[request.param]


def randomize(model):
  """Gives all vectors random values, of both signs and away from 0; those of variances are positive."""
  rng = np.random.default_rng(1)
  for weight in model.weights:
    if len(weight.shape) == 1:
      values = rng.choice([-1., 1.], weight.shape) * rng.uniform(.5, 1.5, weight.shape)
      weight.assign(np.abs(values) if 'variance' in getattr(weight, 'path', weight.name) else values)


def folded(model, package, x=None):
  """The folded model, of which the outputs are those of the model."""
  randomize(model)
  x = images(channels=4) if x is None else x
  model(x, training=True)  # moving averages far from the images' would make layers so steep that rounding shows
  before = [np.array(weight) for weight in model.get_weights()]
  result = package.fold_norm_acts(model)
  expected, received = np.asarray(model(x)), np.asarray(result(x))
  assert np.abs(expected).max() > .1
  np.testing.assert_allclose(received, expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())
  for weight, old in zip(model.get_weights(), before, strict=True):
    np.testing.assert_array_equal(weight, old)
  return result


def network(K, *parts):
  """A functional model of these layers, one after the other, from images of 8 x 8 with 4 channels."""
  x = inputs = K.Input((8, 8, 4))
  for part in parts:
    x = part(x)
  return K.Model(inputs, x)


def names(model):
  return [type(layer).__name__ for layer in model.layers]


CONVOLUTIONS = {
    'padded': lambda K: K.layers.Conv2D(4, 3, padding='same'),
    'strided, without bias': lambda K: K.layers.Conv2D(4, 3, strides=2, padding='same', use_bias=False),
    'grouped': lambda K: K.layers.Conv2D(6, 3, groups=2),
    'depthwise': lambda K: K.layers.DepthwiseConv2D(3, padding='same', depth_multiplier=2),
    'dense': lambda K: K.layers.Dense(4),
}


@pytest.mark.parametrize('name', ['bn_relu', 'evonorm_s0', 'evonorm_b0'])
@pytest.mark.parametrize('kind', CONVOLUTIONS)
def test_a_normalization_disappears_into_the_layer_before_it(face, kind, name):
  K, package = face
  norm = package.get_norm_act(name)(nonlinearity=name == 'bn_relu')
  result = folded(network(K, CONVOLUTIONS[kind](K), norm, K.layers.ReLU()), package)
  assert names(result)[2:] == (['Activation'] if name == 'bn_relu' else []) + ['ReLU']


@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0', 'evonorm_b1', 'evonorm_s2'])
@pytest.mark.parametrize('before, behind', zip(CONVOLUTIONS, [*CONVOLUTIONS][2:] + [*CONVOLUTIONS][:2]))
def test_vectors_go_into_the_layers_around(face, before, behind, name):
  K, package = face
  groups = {'groups': 2} if '_s' in name else {}
  norm = package.get_norm_act(name, **groups)()
  result = folded(network(K, CONVOLUTIONS[before](K), norm, CONVOLUTIONS[behind](K)), package)
  layer = result.layers[-2]
  assert type(layer).__name__ == ('Folded' if name[-1] == '0' else '') + f'EvoNorm{name[-2:].upper()}'
  is_padded = behind in ('padded', 'strided, without bias', 'depthwise')
  assert (layer.gamma is None, layer.beta is None) == ('_b' in name, not is_padded)


@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0'])
def test_the_form_with_v1_folded_against_the_formula(face, name):
  K, package = face
  model = folded(network(K, K.layers.Conv2D(4, 1), package.get_norm_act(name, groups=2)() if name == 'evonorm_s0' else
                         package.get_norm_act(name)()), package)
  layer, x = model.layers[-1], np.float64(images(channels=4))
  weights = {weight.name.rpartition('/')[2].partition(':')[0]: np.float64(weight) for weight in layer.weights}
  z = x * weights['v1']
  by_image = x.var((1, 2), keepdims=True)
  if name == 'evonorm_b0':
    y = z / np.maximum(np.sqrt(weights['moving_variance'] + 1e-5), z + np.sqrt(by_image + 1e-5))
  else:
    grouped = x.reshape(4, 8, 8, 2, 2).var((1, 2, 4), keepdims=True)
    y = z / (1 + np.exp(-z)) / np.sqrt(np.broadcast_to(grouped + 1e-5, (4, 1, 1, 2, 2)).reshape(4, 1, 1, 4))
  np.testing.assert_allclose(layer(np.float32(z)), y * weights['gamma'] + weights['beta'], rtol=1e-4, atol=1e-5)


def test_vectors_pass_pooling_dropout_and_padding(face):
  K, package = face
  head = K.layers.GlobalAveragePooling2D(), K.layers.Dropout(.5), K.layers.Dense(5)
  layer = folded(network(K, package.get_norm_act('evonorm_b0')(), *head), package).layers[1]
  assert layer.gamma is None and layer.beta is None
  padding = K.layers.ZeroPadding2D(1), K.layers.Conv2D(5, 3)
  layer = folded(network(K, package.get_norm_act('evonorm_b0')(), *padding), package).layers[1]
  assert layer.gamma is None and layer.beta is not None


def test_layer_graphs_and_plain_batch_normalization(face):
  K, package = face
  tanh = package.get_norm_act(LayerGraph((Node('tanh', (0,)),)))()
  result = folded(network(K, K.layers.Conv2D(4, 3), K.layers.BatchNormalization(), tanh, K.layers.Dense(4)), package)
  assert names(result)[1:] == ['Conv2D', 'GraphLayer', 'Dense']
  assert result.layers[2].gamma is None and result.layers[2].beta is None


def test_what_several_layers_read_or_nothing_linear_stays(face):
  K, package = face
  x = inputs = K.Input((8, 8, 4))
  x = K.layers.Conv2D(4, 1, name='read_twice')(x)
  x = K.layers.Add()([package.get_norm_act('bn_relu')(name='bn')(x), x])
  x = K.layers.Conv2D(4, 1, activation='tanh', name='activates')(x)
  x = package.get_norm_act('evonorm_b0')(name='read_by_a_sum')(x)
  x = K.layers.Add()([package.get_norm_act('evonorm_b0')(name='two_readers')(x), x])
  model = K.Model(inputs, [x, package.get_norm_act('evonorm_s0', groups=2)(name='output')(x)])
  randomize(model)
  result = package.fold_norm_acts(model)
  for received, expected in zip(result(images(channels=4)), model(images(channels=4))):
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)
  assert names(result) == names(model)
  for name in ('bn', 'read_by_a_sum', 'two_readers', 'output'):
    assert result.get_layer(name).gamma is not None and result.get_layer(name).beta is not None


def test_what_is_called_as_in_training_stays(face):
  K, package = face
  inputs = K.Input((8, 8, 4))
  x = package.get_norm_act('bn_relu')(name='bn')(K.layers.Conv2D(4, 1)(inputs), training=True)
  x = package.get_norm_act('evonorm_b0')(name='evonorm')(K.layers.Conv2D(4, 1)(x), training=True)
  model = K.Model(inputs, K.layers.Conv2D(4, 1)(x))
  result = package.fold_norm_acts(model)
  assert names(result) == names(model)
  np.testing.assert_allclose(result(images(channels=4)), model(images(channels=4)), rtol=1e-5, atol=1e-5)


def test_models_called_as_in_training_stay(face):
  K, package = face
  inner = K.Sequential([K.Input((8, 8, 4)), K.layers.Conv2D(4, 1), K.layers.BatchNormalization(momentum=1.)])
  inputs = K.Input((8, 8, 4))
  model = K.Model(inputs, inner(inputs, training=True))
  result = package.fold_norm_acts(model)
  np.testing.assert_allclose(result(images(channels=4)), model(images(channels=4)), rtol=1e-5, atol=1e-5)


def test_subclasses_stay(face):
  K, package = face

  class Tripled(K.layers.BatchNormalization):

    def call(self, x, training=None, mask=None):
      return super().call(x, training=training) * 3.

  class Raised(package.EvoNormB0):

    def call(self, x, training=None, mask=None):
      return super().call(x, training=training) + 1.

  class Doubled(K.Model):

    def call(self, inputs, training=None, mask=None):
      return super().call(inputs, training=training, mask=mask) * 2.

  model = network(K, K.layers.Conv2D(4, 1), Tripled(), Raised(gamma_initializer='zeros'), K.layers.Conv2D(4, 1))
  result = package.fold_norm_acts(model)
  assert names(result) == names(model)
  np.testing.assert_allclose(result(images(channels=4)), model(images(channels=4)), rtol=1e-5, atol=1e-5)
  inputs = K.Input((8, 8, 4))
  with pytest.raises(ValueError, match="Doubled 'doubled' has a `call` of its own"):
    package.fold_norm_acts(Doubled(inputs, K.layers.Conv2D(4, 1)(inputs), name='doubled'))


def test_channels_first_stays(face):
  K, package = face
  x = np.random.default_rng(0).normal(size=(4, 4, 4, 4)).astype(np.float32)
  model = K.Sequential([K.Input((4, 4, 4)), package.get_norm_act('evonorm_b0')(),
                        K.layers.GlobalAveragePooling2D(data_format='channels_first'), K.layers.Dense(3)])
  assert folded(model, package, x).layers[-3].gamma is not None


def test_kernels_of_one_element(face):
  K, package = face
  model = K.Sequential([K.Input((8, 8, 1)), K.layers.Conv2D(1, 1), package.get_norm_act('evonorm_b0')(),
                        K.layers.DepthwiseConv2D(1), K.layers.BatchNormalization(), K.layers.ELU()])
  assert names(folded(model, package, images(channels=1)))[-4:] == [
      'Conv2D', 'FoldedEvoNormB0', 'DepthwiseConv2D', 'ELU']


def test_outputs_keep_their_names_and_dtypes(face):
  K, package = face
  inputs = K.Input((8, 8, 4))
  boxes = K.layers.BatchNormalization(name='boxes')(K.layers.Conv2D(4, 1)(inputs))
  half = K.layers.Conv2D(4, 1, dtype='mixed_bfloat16')(inputs)
  scores = K.layers.BatchNormalization(name='scores', dtype='float32')(half)
  model = K.Model(inputs, [boxes, scores])
  result = package.fold_norm_acts(model)
  assert result.output_names == ['boxes', 'scores']
  assert [y.dtype for y in result(images(channels=4))] == [tf.float32, tf.float32]
  assert not [layer for layer in result.layers if layer.name == 'boxes' and layer.weights]


def test_more_weights_than_usual():
  for change in (lambda layer: layer.enable_lora(2), lambda layer: layer.quantize('int8')):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.BatchNormalization()])
    change(model.layers[0])
    x = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    result = keras3.fold_norm_acts(model)
    assert names(result)[-1] == 'BatchNormalization'
    np.testing.assert_allclose(result(x), model(x), rtol=1e-5, atol=1e-5)


def test_layers_that_cannot_be_copied_are_named(face):
  K, package = face
  model = network(K, K.layers.Conv2D(4, 1, kernel_initializer=lambda shape, dtype=None: tf.ones(shape, dtype)))
  with pytest.raises(ValueError, match=r"Layer '.*' \(Conv2D\) cannot be copied"):
    package.fold_norm_acts(model)


def test_two_readers_take_the_vectors_of_one_layer(face):
  K, package = face
  inputs = K.Input((8, 8, 4))
  x = package.get_norm_act('evonorm_b0')(name='evonorm')(inputs)
  one, two = K.layers.Conv2D(4, 1)(x), K.layers.Conv2D(4, 1, use_bias=False)(x)
  result = folded(K.Model(inputs, K.layers.Multiply()([one, two])), package)
  assert result.get_layer('evonorm').gamma is None and result.get_layer('evonorm').beta is None


def test_shared_layers_stay_and_models_in_models_are_folded(face):
  K, package = face
  inner = K.Sequential([K.Input((8, 8, 4)), K.layers.Conv2D(4, 1), package.get_norm_act('bn_relu')()], name='inner')
  shared, norm = K.layers.Conv2D(4, 1, name='shared'), package.get_norm_act('evonorm_b0')(name='norm')
  x = inputs = K.Input((8, 8, 4))
  x = norm(shared(norm(shared(inner(inner(x))))))
  result = folded(K.Model(inputs, x), package)
  assert names(result.get_layer('inner'))[-1] == 'Activation'
  assert type(result.get_layer('norm')).__name__ == 'EvoNormB0'


def test_vectors_that_cannot_be_divided_by_stay(face):
  K, package = face

  def model():
    return network(K, K.layers.Conv2D(4, 1), package.get_norm_act('evonorm_b0')(name='norm'),
                   K.layers.DepthwiseConv2D(3, padding='same'))

  for vector, kept in (('v1', ('EvoNormB0', False, True)), ('gamma', ('FoldedEvoNormB0', True, True))):
    with_zero = model()
    randomize(with_zero)
    weight = getattr(with_zero.get_layer('norm'), vector)
    weight.assign([0., 1., -1., 2.])
    result = package.fold_norm_acts(with_zero)
    layer = result.get_layer('norm')
    assert (type(layer).__name__, layer.gamma is not None, layer.beta is not None) == kept
    np.testing.assert_allclose(result(images(channels=4)), with_zero(images(channels=4)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('options', [{'jit_compile': True}, {'dtype': 'float16'}])
def test_v1_stays_in_compiled_cores_and_in_float16(options):
  model = network(tf_keras, tf_keras.layers.Conv2D(4, 1), evonorm_tf.get_norm_act('evonorm_b0')(**options))
  randomize(model)
  result = evonorm_tf.fold_norm_acts(model)
  assert names(result) == names(model)
  np.testing.assert_array_equal(result(images(channels=4)), model(images(channels=4)))


def test_a_folded_model_saves_and_loads(face, tmp_path):
  K, package = face
  path = str(tmp_path / 'folded.keras')
  model = network(K, K.layers.Conv2D(4, 1), package.get_norm_act('evonorm_s0', groups=2)(), K.layers.Conv2D(4, 1))
  result = folded(model, package)
  result.save(path)
  x = images(channels=4)
  np.testing.assert_allclose(K.models.load_model(path)(x), result(x), rtol=1e-6, atol=1e-6)


def test_masks_reach_the_moments():
  inputs = tf_keras.Input((6, 3))
  x = tf_keras.layers.Masking()(inputs)
  x = tf_keras.layers.Conv1D(4, 1)(x)
  model = tf_keras.Model(inputs, tf_keras.layers.Dense(3)(evonorm_tf.EvoNormB0()(x)))
  x = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
  x[:, 4:] = 0.
  folded(model, evonorm_tf, x)


def test_a_whole_network_folds_what_its_graph_allows():
  model = evonorm_tf.build_mobilenet_v2(evonorm_tf.get_norm_act('evonorm_b0', momentum=0.), input_shape=(32, 32, 3),
                                        num_classes=10, width_multiplier=.5)
  result = folded(model, evonorm_tf, images(32))
  layers = [layer for layer in result.layers if hasattr(layer, 'moving_variance')]
  assert [type(layer).__name__ for layer in layers] == ['FoldedEvoNormB0'] * 35
  assert sum(layer.beta is None for layer in layers) == 18 and not any(layer.gamma is not None for layer in layers)
  assert len([layer for layer in model.layers if isinstance(layer, evonorm_tf.EvoNormB0)]) == 52


def test_other_models_are_refused():
  with pytest.raises(ValueError, match='`model` must be a functional model, .* received Dense'):
    evonorm_tf.fold_norm_acts(tf_keras.layers.Dense(3, name='dense'))


def test_empty_batches(face):
  K, package = face
  model = network(K, K.layers.Conv2D(4, 1), package.get_norm_act('evonorm_b0')(), K.layers.Conv2D(4, 1))
  assert package.fold_norm_acts(model)(tf.zeros([0, 8, 8, 4])).shape == (0, 8, 8, 4)
