"""Layers in TFLite, in all its precisions, and in ONNX where tf2onnx is installed, against the Keras model's outputs.

Each layer has a process of its own: what TFLite's kernels do not take, they answer by aborting the process.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

from tests.layer_names import KERAS_2_NAMES

ROOT = pathlib.Path(__file__).parents[3]
# The largest difference, relative to the largest output.
TOLERANCES = {'float32': 1e-6, 'float16': 2e-3, 'dynamic': .02, 'int8': .03}
# What TFLite's kernels refuse, as docs/converting.md says in a table. The integer division looks for divisors that are
# stored as 0, but 0 is a number in the middle of the range: whether there is one depends on the values, and here
# EvoNorm-B0 has none. tf_keras's own GroupNormalization is not taken either.
DIVISION, BROADCAST = 'data[i] != 0 was not true', 'Output shape must be broadcastable from input shape'
REFUSED = {**{name: ({'int8'}, DIVISION) for name in ('evonorm_b1', 'evonorm_b2')},
           **{name: (set(TOLERANCES), BROADCAST) for name in ('gn_relu', 'gn_silu', 'ln_relu', 'in_relu')}}
# The convolution has more than the 1,024 weights from which on TFLite quantizes them.
COMMON = """
import sys
import numpy as np
import tensorflow as tf
import tf_keras
from evonorm_tf import get_norm_act
from search.graphs.known_graphs import known_graph

def make_model(name):
  tf_keras.utils.set_random_seed(0)
  spec = known_graph('bn_silu') if name == 'graph' else name
  model = tf_keras.Sequential([
      tf_keras.Input((6, 6, 16)), tf_keras.layers.Conv2D(8, 3), get_norm_act(spec)(),
      tf_keras.layers.GlobalAveragePooling2D(), tf_keras.layers.Dense(4)])
  rng = np.random.default_rng(0)
  for weight in model.layers[1].weights:
    weight.assign(rng.uniform(.5, 1.5, weight.shape))
  return model

x = np.random.default_rng(1).normal(1., 1., (16, 6, 6, 16)).astype(np.float32)
model = make_model(sys.argv[1])
expected = model(x).numpy()
report = lambda kind, y: print(kind, np.abs(y - expected).max() / np.abs(expected).max(), flush=True)
"""
TFLITE = COMMON + """
for kind in sys.argv[2:]:
  converter = tf.lite.TFLiteConverter.from_keras_model(model)
  if kind != 'float32':
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if kind == 'float16':
    converter.target_spec.supported_types = [tf.float16]
  if kind == 'int8':
    converter.representative_dataset = lambda: ([x[i:i + 1]] for i in range(16))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
  interpreter = tf.lite.Interpreter(model_content=converter.convert())
  interpreter.allocate_tensors()
  y = []
  for image in x:
    interpreter.set_tensor(interpreter.get_input_details()[0]['index'], image[None])
    interpreter.invoke()
    y.append(interpreter.get_tensor(interpreter.get_output_details()[0]['index'])[0].copy())
  report(kind, np.array(y))
"""
ONNX = COMMON + """
import onnxruntime
import tf2onnx
function = tf.function(lambda x: model(x), input_signature=[tf.TensorSpec([None, 6, 6, 16], name='x')])
proto, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=17)
session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=['CPUExecutionProvider'])
report('onnx', session.run(None, {session.get_inputs()[0].name: x})[0])
"""


def run(program, *arguments):
  """Runs the program in a process of its own; returns it when it has ended."""
  environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
  return subprocess.run([sys.executable, '-c', program, *arguments], env=environment, capture_output=True, text=True,
                        check=False)


def differences(program, *arguments):
  """What the program reports: the largest difference, relative to the largest output, by kind."""
  result = run(program, *arguments)
  assert result.returncode == 0, f'exit code {result.returncode}\n{result.stdout}{result.stderr[-3000:]}'
  return {kind: float(number) for kind, number in (
      line.split() for line in result.stdout.splitlines() if line.startswith((*TOLERANCES, 'onnx')))}


@pytest.mark.slow
@pytest.mark.parametrize('name', [*KERAS_2_NAMES, 'graph'])
def test_tflite(name):
  refused, _ = REFUSED.get(name, (set(), ''))
  kinds = [kind for kind in TOLERANCES if kind not in refused]
  if not kinds:
    pytest.skip('TFLite takes it in no precision')
  found = differences(TFLITE, name, *kinds)
  assert [*found] == kinds
  assert not {kind: number for kind, number in found.items() if not number < TOLERANCES[kind]}, found


@pytest.mark.slow
@pytest.mark.parametrize('name', REFUSED)
def test_what_tflite_refuses(name):
  kinds, message = REFUSED[name]
  for kind in kinds & {'float32', 'int8'}:
    result = run(TFLITE, name, kind)
    assert result.returncode == 1 and message in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec('tf2onnx') is None, reason='tf2onnx is not installed')
@pytest.mark.parametrize('name', [*KERAS_2_NAMES, 'graph'])
def test_onnx(name):
  assert differences(ONNX, name)['onnx'] < 1e-6
