"""The EvoNorms' own gradient: compiled and not, differentiated twice, in few bytes; sums and moments over positions.

That values and gradients equal the formula's is tested with the layers.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager.polymorphic_function import polymorphic_function

from benchmarks.engines.tf_keras_rows import PlainB0
from evonorm_tf import get_norm_act
from evonorm_tf.equations import moments
from evonorm_tf.layers import evonorm as evonorm_bodies
from evonorm_tf.layers import keras2
from search.evaluation.kept_tensors import kept

LAYERS = (keras2.EvoNormB0, keras2.EvoNormB1, keras2.EvoNormB2, keras2.EvoNormS0, keras2.EvoNormS1,
          keras2.EvoNormS2)
SHAPE = (3, 4, 4, 6)


def make_layer(layer_class, seed=0, **options):
  """A built layer with random weights."""
  if issubclass(layer_class, evonorm_bodies.SampleSeries):
    options['groups'] = 2
  layer, rng = layer_class(**options), np.random.default_rng(seed)
  layer.build([None, None, None, SHAPE[-1]])
  for weight in layer.trainable_weights:
    weight.assign(rng.normal(1., .5, weight.shape))
  return layer


def random_input(dtype='float64', seed=1):
  return tf.constant(np.random.default_rng(seed).normal(.3, 1.2, SHAPE), dtype)


def loss(y):
  """Σ sin(i)·y_i in float64."""
  return tf.reduce_sum(tf.cast(y, tf.float64) * np.sin(np.arange(np.prod(SHAPE))).reshape(SHAPE))


def gradient_norm(layer, x, training=True):
  """Σ(∂loss/∂x)², which the stability test differentiates once more."""
  with tf.GradientTape() as tape:
    tape.watch(x)
    value = loss(layer(x, training=training))
  return tf.reduce_sum(tf.square(tape.gradient(value, x)))


def second_derivatives(layer, x, training=True):
  with tf.GradientTape() as tape:
    tape.watch(x)
    norm = gradient_norm(layer, x, training)
  return tape.gradient(norm, [x] + layer.trainable_weights, unconnected_gradients='zero')


MODES = ('eager', 'core compiled', 'graph', 'graph, core compiled', 'graph compiled')
FIRST_OF_SERIES = (keras2.EvoNormB0, keras2.EvoNormS0)
# The equations of a series are compiled alike; each is differentiated eagerly and in a graph.
SLOW = [(layer_class, mode) for layer_class in LAYERS if layer_class not in FIRST_OF_SERIES
        for mode in MODES if 'compiled' in mode]


@pytest.mark.parametrize('layer_class, mode', [
    pytest.param(*case, marks=[pytest.mark.slow] * (case in SLOW)) for case in itertools.product(LAYERS, MODES)])
def test_second_derivatives_equal_central_differences(layer_class, mode):
  layer, x = make_layer(layer_class, dtype='float64', jit_compile='core' in mode), random_input()
  function = lambda x: second_derivatives(layer, x)
  if 'graph' in mode:
    function = tf.function(function, jit_compile=mode == 'graph compiled')
  by_x, *by_weights = function(x)
  rng, step = np.random.default_rng(2), 1e-5
  direction = rng.normal(size=SHAPE)
  difference = gradient_norm(layer, x + step * direction) - gradient_norm(layer, x - step * direction)
  np.testing.assert_allclose(tf.reduce_sum(by_x * direction), difference / (2 * step), rtol=1e-6)
  for weight, gradient in zip(layer.trainable_weights, by_weights):
    value, direction, norms = weight.numpy(), rng.normal(size=weight.shape), []
    for shift in (step * direction, -step * direction):
      weight.assign(value + shift)
      norms.append(gradient_norm(layer, x))
    weight.assign(value)
    np.testing.assert_allclose(
        tf.reduce_sum(gradient * direction), (norms[0] - norms[1]) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('layer_class, dtype, tolerance', [
    pytest.param(layer_class, dtype, tolerance,
                 marks=[pytest.mark.slow] * (layer_class not in FIRST_OF_SERIES))
    for layer_class in LAYERS
    for dtype, tolerance in (('float32', 1e-5), ('mixed_float16', 4e-3), ('mixed_bfloat16', 3e-2))])
def test_second_derivatives_in_low_precision_equal_float64(layer_class, dtype, tolerance):
  """Relative to the largest, in a graph that knows no sizes."""
  compute_dtype = dtype.removeprefix('mixed_')
  x = random_input(compute_dtype)
  expected = second_derivatives(make_layer(layer_class, dtype='float64'), tf.cast(x, tf.float64))
  layer = make_layer(layer_class, dtype=dtype, jit_compile=False)
  signature = [tf.TensorSpec([None, None, None, SHAPE[-1]], compute_dtype)]
  actual = tf.function(lambda x: second_derivatives(layer, x), input_signature=signature)(x)
  for a, e in zip(actual, expected):
    np.testing.assert_allclose(tf.cast(a, tf.float64), e, rtol=0, atol=tolerance * np.abs(e).max())


@pytest.mark.parametrize('layer_class', LAYERS)
def test_second_derivatives_in_inference(layer_class):
  layer, x, step = make_layer(layer_class, dtype='float64'), random_input(), 1e-5
  direction = np.random.default_rng(2).normal(size=SHAPE)
  difference = (gradient_norm(layer, x + step * direction, training=False)
                - gradient_norm(layer, x - step * direction, training=False))
  by_x = second_derivatives(layer, x, training=False)[0]
  np.testing.assert_allclose(tf.reduce_sum(by_x * direction), difference / (2 * step), rtol=1e-6)


def values_and_gradients(layer, x):
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=True)
    value = loss(y)
  return [y] + tape.gradient(value, [x] + layer.trainable_weights)


@pytest.mark.parametrize('layer_class, jit_compile, dtype, tolerance', [
    pytest.param(layer_class, jit_compile, dtype, tolerance, marks=[pytest.mark.slow] * (
        layer_class not in FIRST_OF_SERIES and jit_compile and dtype != 'float32'))
    for layer_class in LAYERS for jit_compile in (False, True)
    for dtype, tolerance in (('float32', 1e-5), ('mixed_float16', 2e-3), ('mixed_bfloat16', 2e-2))])
def test_low_precision_equals_float64(layer_class, jit_compile, dtype, tolerance):
  """In float32 the issue's 1e-5, relative to the largest; in half precision its rounding of x, y, dy and dx."""
  compute_dtype = dtype.removeprefix('mixed_')
  x = random_input(compute_dtype)
  expected = values_and_gradients(make_layer(layer_class, dtype='float64'), tf.cast(x, tf.float64))
  actual = values_and_gradients(make_layer(layer_class, dtype=dtype, jit_compile=jit_compile), x)
  assert actual[0].dtype == actual[1].dtype == compute_dtype
  for a, e in zip(actual, expected):
    np.testing.assert_allclose(tf.cast(a, tf.float64), e, rtol=0, atol=tolerance * np.abs(e).max())


@pytest.mark.parametrize('jit_compile', [False, True])
@pytest.mark.parametrize('layer_class', LAYERS)
def test_little_is_kept_beside_the_input(layer_class, jit_compile):
  shape = (4, 8, 8, 16)
  layer = layer_class(jit_compile=jit_compile)
  layer.build(shape)
  statistics = 2 * 4 * 16 / np.prod(shape)  # mean and variance of 4 samples and 16 channels
  assert 1 <= kept(layer, shape) < 1 + statistics + .02


def test_what_is_kept_by_other_layers():
  """Of batch normalization and ReLU x and y; of the plain formulation of EvoNorm-B0 more."""
  shape = (4, 8, 8, 16)
  bn_relu = get_norm_act('bn_relu')()
  bn_relu.build(shape)
  assert 2 <= kept(bn_relu, shape) < 2.02
  assert kept(PlainB0(16), shape) > 4


@pytest.mark.parametrize('count', [1, 7, 8, 12, 16, 25, 64])
@pytest.mark.parametrize('mean', [0., 1e3])
def test_position_moments_in_slices(count, mean):
  """In one pass and in two, against float64; a slice that is far off costs no more than its bound."""
  x = np.random.default_rng(0).normal(mean, 1., (2, count, 3))
  x[0, :max(1, count // 8)] += 5.
  x = x.astype(np.float32)
  for slices in (1, moments.FORWARD_SLICES):
    actual = moments.sum_position_moments(tf.constant(x), slices)
    np.testing.assert_allclose(actual[0][:, 0], x.astype(np.float64).mean(1), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(actual[1][:, 0], x.astype(np.float64).var(1), rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize('slices', [1, 2, 5, 8])
def test_position_sums(slices):
  x, y = (np.random.default_rng(s).normal(size=(3, 12, 4)) for s in (0, 1))
  product, total = moments.position_sums(lambda x, y: [x * y, x + y], [tf.constant(x), tf.constant(y)], slices)
  assert product.shape == total.shape == (3, 1, 4)
  np.testing.assert_allclose(product, (x * y).sum(1, keepdims=True), rtol=1e-12)
  np.testing.assert_allclose(total, (x + y).sum(1, keepdims=True), rtol=1e-12)


def test_no_warning_of_new_shapes(monkeypatch):
  """TensorFlow warns of a function that is traced for a fifth shape."""
  warnings = []
  monkeypatch.setattr(polymorphic_function.logging, 'warning', lambda *args: warnings.append(args))
  layer = keras2.EvoNormS2(jit_compile=True)
  for positions in range(1, 11):
    x = tf.zeros([1, positions, 2])
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=True)
    assert tape.gradient(y, x).shape == x.shape
  assert not warnings


TOOLS = {
    'check_numerics': (lambda _: tf.debugging.enable_check_numerics(), tf.debugging.disable_check_numerics),
    'dump_debug_info': (lambda folder: tf.debugging.experimental.enable_dump_debug_info(folder, 'FULL_HEALTH'),
                        tf.debugging.experimental.disable_dump_debug_info),
    'run_functions_eagerly': (lambda _: tf.config.run_functions_eagerly(True),
                              lambda: tf.config.run_functions_eagerly(False)),
    'profiler': (tf.profiler.experimental.start, tf.profiler.experimental.stop),
}


@pytest.mark.parametrize('layer_class', FIRST_OF_SERIES)
@pytest.mark.parametrize('tool', TOOLS)
def test_debugging_tools_work_with_a_compiled_layer(layer_class, tool, tmp_path):
  layer, expected = (make_layer(layer_class, dtype='float32', jit_compile=jit_compile) for jit_compile in (True, False))
  x, (start, stop) = random_input('float32'), TOOLS[tool]
  start(str(tmp_path))
  try:
    actual = tf.function(lambda x: values_and_gradients(layer, x))(x)
    if tool == 'check_numerics':
      with pytest.raises(tf.errors.InvalidArgumentError, match='(?i)nan'):
        layer(x * np.nan, training=True)
  finally:
    stop()
  for a, e in zip(actual, values_and_gradients(expected, x), strict=True):
    np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('layer_class', FIRST_OF_SERIES)
def test_an_empty_batch_compiled(layer_class):
  for shape in ((2, 0, 4, 6), (0, 4, 4, 6)):
    layer, x = make_layer(layer_class, jit_compile=True), tf.zeros(shape)
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=True)
    by_x, *by_weights = tape.gradient(y, [x] + layer.trainable_weights)
    assert y.shape == by_x.shape == shape and not np.concatenate(by_weights).any()
    for moving in layer.non_trainable_weights:
      np.testing.assert_array_equal(moving, 1.)


def test_synchronized_layers_are_not_compiled():
  with pytest.raises(ValueError, match='`jit_compile=True` is not available with `synchronized=True`'):
    keras2.EvoNormB0(synchronized=True, jit_compile=True)
