"""What a training step costs with a layer in a mode: its time, its start and its memory, and the table of that.

The columns of the table, of which all but the last are ratios to BN-ReLU in mode 'graph':
- step: the median time of a step. All contenders take turns in one process, one step each at a time, so that other load
  on the machine, which may change within seconds, affects all of them alike.
- trace: the time to trace a step (`get_concrete_function`). Other threads begin to compile the EvoNorms meanwhile.
- first step: the time of the first step after that, in which XLA compiles the rest.
- trace + first: both together.
- memory: the growth of the resident memory, from before the trace to the peak (Linux's VmHWM) after three steps. It
  includes activations, gradients, and what tracing and compiling take, but neither the weights nor their momentum.
- to BN-SiLU: the same, as a ratio to BN-SiLU in mode 'graph'.
- peak: the peak resident memory of the process, in GB.

All columns but the first come from processes of their own, one for each contender and round. The contenders alternate
from process to process, and the table has medians over the rounds.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import time
from typing import Any
from typing import NamedTuple

from rich.table import Table
import tensorflow as tf
import tf_keras

from benchmarks.measuring.processes import medians
from benchmarks.measuring.processes import peak_resident_bytes
from evonorm_tf.devices.memory import resident_bytes

STEPS = 3  # in a process that measures a `Start`
GIGABYTE = 1e9


class Contender(NamedTuple):
  """A layer in a mode, in a model with options.

  Attributes:
    layer: the layer's name, as for `evonorm_tf.get_norm_act`.
    mode: 'graph', nothing is compiled; 'core', XLA compiles each EvoNorm's computation (`jit_compile=True`); or 'XLA',
      the whole step is compiled.
    options: pairs of a name and a value, arguments of the model beyond those that all contenders have.
  """
  layer: str
  mode: str
  options: tuple[tuple[str, Any], ...] = ()

  def __str__(self) -> str:
    return f'{self.layer} ({self.label})'

  @property
  def label(self) -> str:
    """The mode and the options, as in the table's column 'mode'."""
    return ', '.join([self.mode, *(name if value is True else f'{name}={value}' for name, value in self.options)])

  @property
  def layer_options(self) -> dict[str, bool]:
    """The arguments of the layer that the mode implies."""
    return {'jit_compile': self.mode != 'graph'} if self.layer.startswith('evonorm') else {}


BASE, SECOND_BASE = Contender('bn_relu', 'graph'), Contender('bn_silu', 'graph')  # to which ratios are taken
RECOMPUTE = (('recompute', True),)  # the option of models and of detectors


class Start(NamedTuple):
  """What the first steps cost in a process; the median over such processes has the same fields.

  Attributes:
    trace: the seconds to trace a step.
    first: the seconds of the first step after that.
    start: both together.
    growth: the growth of the resident memory, from before the trace to the peak after `STEPS` steps, in bytes.
    peak: the peak resident memory, in bytes.
  """
  trace: float
  first: float
  start: float
  growth: float
  peak: float


class Cost(NamedTuple):
  """What a training step costs.

  Attributes:
    seconds: the median time of a step.
    rounds: what its start costs, a record for each process.
  """
  seconds: float
  rounds: Sequence[Start]


def choose(contenders: Sequence[Contender], modes: Sequence[str]) -> list[Contender]:
  """Returns the contenders whose mode is among the given ones, and those that are no EvoNorm and in mode 'graph'.

  Args:
    contenders: all contenders of a benchmark.
    modes: the modes that were asked for.
  """
  return [c for c in contenders if c.mode in modes or (c.mode == 'graph' and not c.layer.startswith('evonorm'))]


def make_optimizer(variables: Sequence[tf.Variable], learning_rate: float) -> tf_keras.optimizers.legacy.Optimizer:
  """Returns SGD with momentum, which has been created already: the first step does not create variables.

  Args:
    variables: the variables that the optimizer will change.
    learning_rate: the learning rate.
  """
  optimizer = tf_keras.optimizers.legacy.SGD(learning_rate, momentum=0.9)
  # XLA cannot create variables, and legacy optimizers have no public way to create them before the first step.
  optimizer._create_all_weights(variables)  # noqa: SLF001
  return optimizer


def measure_start(step: tf.types.experimental.PolymorphicFunction, arguments: tuple) -> Start:
  """Returns what the first steps of a training cost in this process, which must be a new one.

  Args:
    step: a `tf.function` that takes one training step and returns the loss; it must not have been called.
    arguments: its positional arguments.
  """
  before = resident_bytes()
  begin = time.perf_counter()
  step.get_concrete_function(*arguments)
  traced = time.perf_counter()
  step(*arguments).numpy()
  end = time.perf_counter()
  for _ in range(STEPS - 1):
    step(*arguments).numpy()
  peak = peak_resident_bytes()
  return Start(traced - begin, end - traced, end - begin, peak - before, peak)


def make_table(title: str, costs: Mapping[Contender, Cost]) -> Table:
  """Returns the table of one model, one row for each contender; the module explains its columns.

  Args:
    title: the table's title.
    costs: the costs by contender, `BASE` and `SECOND_BASE` among them.
  """
  table = Table(title=title)
  for column in ('layer', 'mode'):
    table.add_column(column)
  for column in ('step', 'trace', 'first step', 'trace + first', 'memory', 'to BN-SiLU', 'peak, GB'):
    table.add_column(column, justify='right')
  starts = {contender: medians(cost.rounds) for contender, cost in costs.items()}
  seconds, base = costs[BASE].seconds, starts[BASE]
  for contender, start in starts.items():
    ratios = (costs[contender].seconds / seconds, start.trace / base.trace, start.first / base.first,
              start.start / base.start, start.growth / base.growth, start.growth / starts[SECOND_BASE].growth)
    table.add_row(contender.layer, contender.label, *(f'{ratio:.2f}' for ratio in ratios),
                  f'{start.peak / GIGABYTE:.2f}')
  table.caption = (f'BN-ReLU: step {seconds:.3g} s, trace {base.trace:.3g} s, first step {base.first:.3g} s, '
                   f'trace + first {base.start:.3g} s, memory {base.growth / GIGABYTE:.3g} GB')
  return table


def to_records(costs: Mapping[Contender, Cost], **settings: Any) -> list[dict[str, Any]]:
  """Returns the costs as JSON data, one record for each contender, with the medians and the single rounds.

  Args:
    costs: the costs by contender.
    **settings: further entries of every record, such as the model's name.
  """
  records = []
  for contender, (seconds, rounds) in costs.items():
    start = medians(rounds)
    records.append(dict(
        **settings, layer=contender.layer, mode=contender.mode, options=dict(contender.options), seconds=seconds,
        seconds_trace=start.trace, seconds_first=start.first, seconds_start=start.start, bytes_grown=start.growth,
        bytes_peak=start.peak, rounds=[round_._asdict() for round_ in rounds]))
  return records
