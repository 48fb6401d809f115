"""What an accelerator would run for a training call of BN-ReLU, EvoNorm-B0 and -S0: kernels, and the bytes they move.

  python -m benchmarks.bytes_moved [--shape=32,56,56,64] [--dtype=float32]

No accelerator is needed, and none is used: all is counted from graphs (15 seconds on one core).

The first table has kernels that touch tensors of x's size, smaller ones, and bytes in units of x's size, of the forward
and the backward pass, without moving averages, for one shape:
- graph: `jit_compile=False`, the operations that remain after Grappler. For BN-ReLU, the fused kernel, which reads x
  and dy once for sums and once more, and ReLU, which a GPU fuses with it in training for float16 only, on request.
- CPU's HLO: `jit_compile=True`, what XLA fuses for a CPU, with sums as an accelerator takes them. That is the worst
  case for a GPU. There XLA also computes elementwise terms inside of the sum that reads them, and sums of the same
  inputs in one kernel, so that fewer kernels move fewer bytes. A CPU's trees of windows for one sum are one kernel or
  two on a GPU.
- best fusion: one kernel for all sums that can run together and one for the result, x and dy read once by each. That
  is the best case, which XLA's GPU back end is built for; small kernels are those of the CPU's HLO.

The second table has times, in microseconds, by the model kernels · latency + bytes / bandwidth, for an older and a
newer data center GPU. From the worst to the best case, it has the compiled layer's time, how many times faster it is
than the graph, and the steps after which the time to compile both passes is regained by one layer.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from collections.abc import Callable
from collections.abc import Sequence
import functools
import math
from typing import NamedTuple
from unittest import mock

from absl import app
from absl import flags
from rich.console import Console
from rich.table import Table
import tensorflow as tf

from benchmarks.measuring.kernel_counts import count_graph
from benchmarks.measuring.kernel_counts import count_hlo
from benchmarks.measuring.kernel_counts import Counts
from evonorm_tf.engines import tensorflow_ops
from evonorm_tf.equations import passes
from evonorm_tf.equations import series

EPSILON = 1e-5
EQUATIONS = {'EvoNorm-B0': series.BatchEquation(EPSILON, 'b0'),
             'EvoNorm-S0': series.SampleEquation(EPSILON, groups=32, has_v1=True)}
SHAPES = ((128, 16, 16, 64), (32, 56, 56, 64), (256, 56, 56, 256))
DTYPES = ('float32', 'bfloat16')
COMPILE_SECONDS = 1.  # an assumption, for both passes and one shape: 0.1 to 0.3 s a pass on a CPU, and more for a GPU
FORMS = ('graph', "CPU's HLO", 'best fusion')

Pass = tuple[Callable, list[tf.TensorSpec]]  # the pass, and its arguments


class Device(NamedTuple):
  """An accelerator: the seconds from one kernel to the next, and the bytes its memory moves in a second."""
  latency: float
  bandwidth: float

  def seconds(self, counts: Counts) -> float:
    """Returns the model's time."""
    return (counts.large + counts.small) * self.latency + counts.bytes / self.bandwidth


DEVICES = {'1.5 TB/s, 10 µs': Device(10e-6, 1.5e12), '3.3 TB/s, 5 µs': Device(5e-6, 3.3e12)}

_SHAPE = flags.DEFINE_list('shape', ['32', '56', '56', '64'], 'Shape of x in the first table, N,H,W,C.')
_DTYPE = flags.DEFINE_enum('dtype', 'float32', DTYPES, 'Dtype of x in the first table.')
flags.register_validator('shape', lambda shape: len(shape) == 4 and all(s.isdigit() and int(s) for s in shape),
                         'must be four positive numbers, separated by commas')


def batch_norm_passes(shape: Sequence[int], dtype: str) -> list[Pass]:
  """Returns the forward and the backward pass of BN-ReLU, as TensorFlow's gradients run them."""
  x, vector = tf.TensorSpec(shape, dtype), tf.TensorSpec([shape[-1]], tf.float32)

  def forward(x, gamma, beta):
    y, *moments = tf.raw_ops.FusedBatchNormV3(x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=EPSILON)
    return tf.nn.relu(y), *moments[:2]

  def backward(x, dy, y, gamma, mean, variance, reserved):
    dy = tf.raw_ops.ReluGrad(gradients=dy, features=y)
    return tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=dy, x=x, scale=gamma, reserve_space_1=mean, reserve_space_2=variance, reserve_space_3=reserved,
        epsilon=EPSILON)[:3]

  return [(forward, [x, vector, vector]), (backward, [x, x, x, *4 * [vector]])]


def evonorm_passes(equation: passes.Equation, shape: Sequence[int], dtype: str) -> list[Pass]:
  """Returns the forward and the backward pass of an EvoNorm that has v1, both with one slice."""
  samples, *spatial, channels = shape
  x = tf.TensorSpec([samples, math.prod(spatial), channels], dtype)
  weights = 3 * [tf.TensorSpec([channels], tf.float32)]

  def forward(x, *weights):
    return passes.forward(equation, 1, x, None, *weights)

  def backward(x, dy, *tensors):
    return passes.backward(equation, 1, False, x, dy, tensors[3:], *tensors[:3])

  outputs = tf.function(forward, autograph=False).get_concrete_function(x, *weights).outputs
  statistics = [tf.TensorSpec(t.shape, t.dtype) for t in outputs[2:]]
  return [(forward, [x, *weights]), (backward, [x, x, *weights, *statistics])]


@functools.cache
def count_layer(name: str, shape: tuple[int, ...], dtype: str) -> list[dict[str, Counts]]:
  """Returns the counts of the forward and of the backward pass by form; BN-ReLU has only the first form."""
  with mock.patch.object(tensorflow_ops, 'on_cpu', lambda: False):  # sums as an accelerator takes them
    if name not in EQUATIONS:
      return [{FORMS[0]: count_graph(*p)[0]} for p in batch_norm_passes(shape, dtype)]
    counts = []
    for function, arguments in evonorm_passes(EQUATIONS[name], shape, dtype):
      (graph, best), hlo = count_graph(function, arguments), count_hlo(function, arguments)
      counts.append(dict(zip(FORMS, (graph, hlo, best._replace(small=hlo.small)))))
    return counts


def counts_table(shape: tuple[int, ...], dtype: str) -> Table:
  """Returns the table of kernels and bytes for one shape."""
  size = math.prod(shape) * tf.as_dtype(dtype).size
  table = Table(title=f'Large + small kernels, bytes / bytes of x; {dtype} {",".join(map(str, shape))}')
  for column in ('layer', 'form', 'forward', 'backward', 'both'):
    table.add_column(column)
  for name in ('BN-ReLU', *EQUATIONS):
    forward, backward = count_layer(name, shape, dtype)
    for form in forward:
      row = forward[form], backward[form], forward[form] + backward[form]
      table.add_row(name, form, *(f'{c.large:2} + {c.small:2}, {c.bytes / size:5.1f}' for c in row))
  return table


def times_table() -> Table:
  """Returns the table of the model's times; in the last columns, from the worst case to the best."""
  table = Table(title='Microseconds for both passes by the model kernels · latency + bytes / bandwidth')
  for column in ('x', 'GPU', 'layer', 'BN-ReLU', 'graph', 'compiled', 'faster', 'regained'):
    table.add_column(column, no_wrap=True)
  for shape in SHAPES:
    for dtype in DTYPES:
      for device_name, device in DEVICES.items():
        batch_norm, = _seconds(device, count_layer('BN-ReLU', shape, dtype))
        for name in EQUATIONS:
          graph, worst, best = _seconds(device, count_layer(name, shape, dtype))
          table.add_row(f'{",".join(map(str, shape))} {dtype}', device_name, name, f'{1e6 * batch_norm:,.0f}',
                        f'{1e6 * graph:,.0f}', f'{1e6 * worst:,.0f}–{1e6 * best:,.0f}',
                        f'{graph / worst:.1f}–{graph / best:.1f}',
                        f'{_steps(graph - worst)}–{_steps(graph - best)}')
  return table


def _seconds(device, both):
  return [sum(device.seconds(counts[form]) for counts in both) for form in both[0]]


def _steps(saved):
  return f'{COMPILE_SECONDS / saved:,.0f}' if saved > 0 else 'never'


def main(_):
  """Prints both tables; the argument, the command line without flags, is not used."""
  console = Console(width=max(120, Console().width))
  console.print(counts_table(tuple(map(int, _SHAPE.value)), _DTYPE.value))
  console.print(times_table())


if __name__ == '__main__':
  app.run(main)
