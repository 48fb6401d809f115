"""The benchmark `layers` for tf_keras.

A contender is a layer in a mode. In mode 'graph', it runs in a tf.function without compiled parts. In mode 'core', XLA
compiles the EvoNorm's computation inside this function (`jit_compile=True`, the default in training on a CPU). In mode
'XLA', the whole function is compiled. `tf_keras_rows` has the contenders of each group of rows.

A cell of a table has the times of the forward pass and of the forward and backward pass, each as a ratio to that of the
table's BN-ReLU in mode 'graph', whose x is of the same dtype. The memory is that of the tensors that the backward pass
reads from the forward pass, in units of x, that is, of a tensor of its shape and dtype.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
import tensorflow as tf

from benchmarks.engines.tf_keras_rows import BASE
from benchmarks.engines.tf_keras_rows import GROUPS_OF_ROWS
from benchmarks.engines.tf_keras_rows import Rows
from benchmarks.measuring.timing import median_seconds
from search.evaluation.kept_tensors import kept

SHAPES = ((128, 16, 16, 64), (128, 32, 32, 32), (32, 56, 56, 64))
PASSES = ('forward', 'forward + backward')


def forward(layer, x, dy):
  """Returns a layer's output in training.

  Args:
    layer: the layer.
    x: its input, [N, H, W, C].
    dy: not used; it is there so that both passes have the same arguments.
  """
  del dy
  return layer(x, training=True)


def forward_backward(layer, x, dy):
  """Returns a layer's output in training, and the gradients with respect to x and to the layer's weights.

  Args:
    layer: the layer.
    x: its input, [N, H, W, C].
    dy: the gradient with respect to the output, of the same shape.
  """
  with tf.GradientTape() as tape:
    tape.watch(x)
    y = layer(x, training=True)
  return y, tape.gradient(y, [x, *layer.trainable_weights], output_gradients=dy)


def time_shape(rows: Rows, shape: tuple[int, ...], repeats: int) -> dict[tuple[str, str, str], float]:
  """Returns the median time of a call by layer, mode and pass, in seconds.

  Args:
    rows: the contenders and the dtype of the input.
    shape: the shape of the input, [N, H, W, C].
    repeats: the number of timed calls of each contender.
  """
  x, dy = (tf.cast(tf.random.stateless_normal(shape, [0, seed]), rows.dtype) for seed in (0, 1))
  functions = {}
  for (name, mode), (layer, compiled) in rows.contenders(shape[-1]).items():
    layer(x, training=False)  # builds it
    for label, function in zip(PASSES, (forward, forward_backward)):
      functions[name, mode, label] = tf.function(
          lambda x, dy, layer=layer, function=function: function(layer, x, dy), jit_compile=compiled, autograph=False)
  return median_seconds(functions, (x, dy), repeats, f'{rows.title}, {list(shape)}:')


def measure_kept(rows: Rows) -> dict[tuple[str, str], float]:
  """Returns the result of `kept` for the first of `SHAPES`, by layer and mode, without the mode 'XLA'.

  Args:
    rows: the contenders and the dtype of the input.
  """
  shape, dtype, units = SHAPES[0], tf.as_dtype(rows.dtype), {}
  for key, (layer, compiled) in rows.contenders(shape[-1]).items():
    if not compiled:
      layer(tf.zeros(shape, dtype), training=False)  # builds it
      units[key] = kept(layer, shape, dtype)
  return units


def make_table(rows: Rows, times: dict, kept_units: dict) -> Table:
  """Returns the table of ratios to BN-ReLU, one row for each layer and mode; the module explains its cells.

  Args:
    rows: what is measured.
    times: the results of `time_shape` by shape.
    kept_units: the result of `measure_kept`.
  """
  table = Table(title=f'{rows.title}: {" / ".join(PASSES)}, times {BASE[0]} in {BASE[1]} mode')
  for column in ('layer', 'mode'):
    table.add_column(column)
  for column in (*(str(list(shape)) for shape in SHAPES), 'kept, times x'):
    table.add_column(column, justify='right')
  for name, mode in dict.fromkeys(key[:2] for key in times[SHAPES[0]]):
    ratios = [[by_key[name, mode, label] / by_key[*BASE, label] for label in PASSES] for by_key in times.values()]
    units = f'{kept_units[name, mode]:.2f}' if (name, mode) in kept_units else '–'
    table.add_row(name, mode, *(' / '.join(f'{ratio:.2f}' for ratio in pair) for pair in ratios), units)
  base = (' / '.join(f'{1e3 * by_key[*BASE, label]:.1f}' for label in PASSES) for by_key in times.values())
  table.caption = f'{BASE[0]}: {", ".join(base)} ms'
  return table


def to_json(rows: Rows, times: dict, kept_units: dict) -> dict[str, list]:
  """Returns the figures as JSON data, lists of records under 'seconds' and 'kept'.

  Args:
    rows: what was measured.
    times: the results of `time_shape` by shape.
    kept_units: the result of `measure_kept`.
  """
  common = {'rows': rows.title, 'dtype': rows.dtype}
  return {
      'seconds': [dict(**common, shape=shape, layer=name, mode=mode, passes=label, seconds=seconds)
                  for shape, by_key in times.items() for (name, mode, label), seconds in by_key.items()],
      'kept': [dict(**common, shape=SHAPES[0], layer=name, mode=mode, times_x=units)
               for (name, mode), units in kept_units.items()]}


def run(groups: Sequence[str], repeats: int) -> dict[str, list]:
  """Runs the benchmark, prints each table when it is complete, and returns the figures as JSON data.

  Args:
    groups: the groups of rows to measure, keys of `GROUPS_OF_ROWS`.
    repeats: the number of timed calls of each contender.
  """
  tf.get_logger().setLevel('ERROR')  # it warns of retracing, but every contender needs a trace of its own
  console, figures = Console(width=115), {'seconds': [], 'kept': []}
  for rows in (rows for group, tables in GROUPS_OF_ROWS.items() if group in groups for rows in tables):
    times = {shape: time_shape(rows, shape, repeats) for shape in SHAPES}
    kept_units = measure_kept(rows)
    console.print(make_table(rows, times, kept_units))
    for key, records in to_json(rows, times, kept_units).items():
      figures[key] += records
  return figures
