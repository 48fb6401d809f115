"""Cost of the EvoNorms compared with batch normalization: time forward and backward, and memory in between.

  python -m benchmarks.layers [--rows=evonorms,dtypes,graphs] [--repeats=15] [--json=FILE]
  python -m benchmarks.layers --backend=tensorflow|jax|torch [--device=cpu|gpu] [--repeats=15] [--json=FILE]

Without --backend, the layers of tf_keras are measured, in all their modes (`tf_keras_layers`, two minutes
on two cores); with it, those of Keras 3 on that engine, in float32 and bfloat16 (`engine_layers`, two to five minutes).
Contenders are called in turn, repeatedly, and the tables have median times as ratios to a BN-ReLU with the same input.

The groups of rows of tf_keras, a table or two each:
- evonorms: all EvoNorms in float32 (a minute).
- dtypes: EvoNorm-B0 and -S0 on bfloat16 and float16, compared with a BN-ReLU of the same dtype.
- graphs: known and found layers as layer graphs in float32, run by `GraphLayer` and as generated code.
"""

import json
import os
import pathlib

from absl import app
from absl import flags

from benchmarks.measuring.command_line import define_json
from benchmarks.measuring.command_line import define_names

ROWS = ('evonorms', 'dtypes', 'graphs')  # the keys of `tf_keras_rows.GROUPS_OF_ROWS`, which needs TensorFlow

_BACKEND = flags.DEFINE_enum('backend', None, ['tensorflow', 'jax', 'torch'], 'Engine of Keras 3; none for tf_keras.')
_DEVICE = flags.DEFINE_enum('device', 'cpu', ['cpu', 'gpu'], 'Where to run; only with --backend.')
_ROWS = define_names('rows', ROWS, ROWS, 'Groups of rows of tf_keras.')
_REPEATS = flags.DEFINE_integer('repeats', 15, 'Timed calls of each contender.', lower_bound=1)
_JSON = define_json()
flags.register_multi_flags_validator(
    [_BACKEND, _ROWS], lambda values: values['backend'] is None or set(values['rows']) == set(ROWS),
    '--rows is for tf_keras only, without --backend')
flags.register_multi_flags_validator(
    [_BACKEND, _DEVICE], lambda values: values['backend'] is not None or values['device'] == 'cpu',
    '--device is for --backend only')


def main(_):
  """Runs the benchmark and prints its tables; the argument, the command line without flags, is not used."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  if _BACKEND.value is None:
    os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
    from benchmarks.engines.tf_keras_layers import run
    figures = run(_ROWS.value, _REPEATS.value)
  else:
    os.environ['KERAS_BACKEND'] = _BACKEND.value
    if _DEVICE.value == 'cpu':
      os.environ.update(CUDA_VISIBLE_DEVICES='', JAX_PLATFORMS='cpu')
    from benchmarks.engines.engine_layers import run
    figures = run(_BACKEND.value, _DEVICE.value, _REPEATS.value)
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps(figures, indent=1))


if __name__ == '__main__':
  app.run(main)
