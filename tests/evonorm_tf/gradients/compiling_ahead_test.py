"""What is compiled ahead of the first step, and that XLA finds it again there."""

import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf import get_norm_act
from evonorm_tf.gradients import compiling_ahead
from search.graphs.known_graphs import known_graph

SHAPE = (4, 4, 4, 8)
# A training step of two layers with one shape, traced and then run; the pause is for the threads to come to their end.
PROGRAM = """
import tensorflow as tf
from evonorm_tf import EvoNormS0
from evonorm_tf.gradients import compiling_ahead
first, second = EvoNormS0(), EvoNormS0()
x = tf.random.normal([4, 4, 4, 32])
second(first(x))

@tf.function
def step(x):
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = second(first(x, training=True), training=True)
  return tape.gradient(y, x)

step.get_concrete_function(x)
compiling_ahead._threads().shutdown(wait=True)
print('begin')
step(x)
"""


def traced_step(shape=SHAPE, jit_compile=True, **options):
  """Traces a layer's training step; returns the layer and the step."""
  layer = get_norm_act('evonorm_b0', jit_compile=jit_compile, **options)()
  layer.build(SHAPE)

  @tf.function(input_signature=[tf.TensorSpec(shape)], autograph=False)
  def step(x):
    with tf.GradientTape() as tape:
      tape.watch(x)
      y = layer(x, training=True)
    return y, tape.gradient(y, x)

  step.get_concrete_function()
  return layer, step


@pytest.fixture
def submitted(monkeypatch):
  """The functions and the shapes of their first arguments that are submitted, none of which is compiled."""
  seen = []

  class Threads:
    def submit(self, _, function, specifications):
      seen.append((function, specifications[0].shape))

  monkeypatch.setattr(compiling_ahead, '_threads', Threads)
  compiling_ahead._submit_once.cache_clear()
  yield seen
  compiling_ahead._submit_once.cache_clear()


def test_each_pass_of_a_shape_once(submitted):
  traced_step()
  traced_step()
  assert [shape for _, shape in submitted] == [(4, 16, 8)] * 2
  assert len({function for function, _ in submitted}) == 2
  traced_step((2, 4, 4, 8))
  assert len(submitted) == 4


@pytest.mark.parametrize('options', [{'shape': (None, 4, 4, 8)}, {'shape': (4, None, 4, 8)}, {'jit_compile': False}])
def test_not_without_sizes_or_compiling(submitted, options):
  traced_step(**options)
  assert not submitted


def test_not_eagerly_or_on_accelerators(submitted, monkeypatch):
  layer = get_norm_act('evonorm_b0', jit_compile=True)()
  layer(tf.zeros(SHAPE), training=True)
  monkeypatch.setattr(compiling_ahead, 'on_cpu', lambda: False)
  traced_step()
  assert not submitted


def test_a_failure_is_left_to_the_step(monkeypatch):
  failed = threading.Event()

  def fail(_):
    failed.set()
    raise RuntimeError('no memory')

  monkeypatch.setattr(compiling_ahead, '_within_a_function', fail)
  compiling_ahead._submit_once.cache_clear()
  layer, step = traced_step((3, 4, 4, 8))
  assert failed.wait(30)
  x = tf.random.stateless_normal([3, 4, 4, 8], [0, 0])
  np.testing.assert_allclose(step(x)[0], layer(x, training=True), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_step_compiles_nothing_again():
  environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL='0', TF_CPP_VMODULE='device_compiler=1', TF_USE_LEGACY_KERAS='1')
  done = subprocess.run([sys.executable, '-u', '-c', PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                        text=True, env=environment, check=True)
  before, after = done.stdout.split('begin\n')
  compiled = r'Compilation of XLA executable time'
  assert len(re.findall(compiled, before)) == 2, done.stdout
  assert not re.findall(compiled, after), done.stdout


NOISE = """
import sys
import numpy as np
keras_name, folder = sys.argv[1:]
import tensorflow as tf
if keras_name == 'keras':
  import keras
  from evonorm_tf import keras3 as evonorm
else:
  import tf_keras as keras
  import evonorm_tf as evonorm
tf.zeros([]) + 1.  # what TensorFlow prints at its start
print('begin', file=sys.stderr, flush=True)
images, labels = np.random.rand(8, 8, 8, 3), np.arange(8)
for number in range(1, 4):  # Keras itself warns of five
  model = keras.Sequential([
      keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(8 * number, 3), evonorm.EvoNormB0(),
      keras.layers.Conv2D(9, 3), evonorm.EvoNormS0(), evonorm.GraphLayer(KNOWN), keras.layers.Conv2D(7, 3),
      evonorm.EvoNormB1(), evonorm.EvoNormS1(), keras.layers.Flatten(), keras.layers.Dense(10)])
  model.compile('sgd', 'mse')
  model.fit(images, np.eye(10)[labels], verbose=0)
model.export(folder) if keras_name == 'keras' else model.save(folder)
loaded = tf.saved_model.load(folder)
x = tf.constant(images, tf.float32)
with tf.GradientTape() as tape:  # a SavedModel has the gradients of its operations
  tape.watch(x)
  y = loaded.serve(x) if keras_name == 'keras' else loaded(x)
assert tape.gradient(y, x) is not None
assert abs(y - model.predict(images, verbose=0)).numpy().max() < 1e-5
""".replace('KNOWN', "evonorm.LayerGraph.from_dict(GRAPH)")


@pytest.mark.slow
@pytest.mark.parametrize('keras', ['keras', 'tf_keras'])
def test_training_saving_and_loading_print_nothing(keras, tmp_path):
  code = f'GRAPH = {known_graph("bn_relu").to_dict()!r}\n{NOISE}'
  environment = os.environ | {'TF_CPP_MIN_LOG_LEVEL': '1'}
  ran = subprocess.run([sys.executable, '-c', code, keras, str(tmp_path / 'saved')], env=environment, text=True,
                       capture_output=True, check=False)
  assert ran.returncode == 0, ran.stderr[-3000:]
  assert ran.stderr.rpartition('begin\n')[2] == ''
