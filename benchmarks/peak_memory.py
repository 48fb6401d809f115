"""What lives at the peak of memory in a training step on a CPU, and what of the resident growth is no tensor.

  python -m benchmarks.peak_memory [--model=ResNetV2-50] [--layers=bn_relu,evonorm_s0] [--modes=core,graph]
      [--batch_size=128] [--width_multiplier=0.5] [--largest=8] [--json=FILE]

The step, the models and the modes are those of `benchmarks.models`. Each contender runs in a process of its own: three
steps, by which the process's memory is measured, then one under TensorFlow's profiler, from which tensors are counted
(buffers from 256 KiB on). Twelve seconds a contender on two cores.

The first table has the tensors that live when their sum is largest, in MB and in units of activations, the bytes of all
norm-activation layers' inputs. Operations that work in place hand their buffer on, so a tensor counts where its buffer
came from: a sum of residuals as the convolution's output, a normalized and activated tensor as the layer's output.

The second table splits the growth of the peak resident memory (Linux's VmHWM) from before tracing to after three steps:
- tensors at the peak: the sum of the first table.
- allocator beyond: what the mappings of TensorFlow's allocator hold more than that. The allocator doubles its regions
  and never returns them; in the long run it touches most of them.
- tracing: the growth of the resident memory while the step is traced.
- heap used, later: what malloc's heap holds more after three steps than after tracing: optimized graphs, and of each
  function that XLA compiled its graph, stack traces, HLO and code.
- heap free: what malloc keeps for later.
- code of libraries: what was read of mapped files; the compiler's code is in them.
- rest: compiled code, stacks, and the inaccuracy of the other rows.
- growth if unpooled: the growth in another process, in which each tensor has a mapping of its own, which is returned on
  release. This is what the step needs.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import collections
from collections.abc import Iterable
import concurrent.futures
import functools
import json
import multiprocessing
import pathlib
from typing import NamedTuple

from absl import app
from absl import flags
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.measuring.allocations import trace_allocations
from benchmarks.measuring.command_line import define_json
from benchmarks.measuring.command_line import define_names
from benchmarks.measuring.process_memory import ProcessMemory
from benchmarks.measuring.process_memory import read_memory
from benchmarks.measuring.small_models import make_batch
from benchmarks.measuring.small_models import make_step
from benchmarks.measuring.small_models import MODELS
from benchmarks.measuring.tensor_kinds import KINDS
from benchmarks.measuring.tensor_kinds import TensorKinds
from benchmarks.measuring.training_steps import Contender
from evonorm_tf import get_norm_act
from evonorm_tf.layers.norm_act import NORM_ACTS

MEGABYTE = 1e6
# glibc gives each block from this size on a mapping of its own, and never raises the size.
UNPOOLED = {'TF_ONEDNN_USE_SYSTEM_ALLOCATOR': '1', 'MALLOC_MMAP_THRESHOLD_': str(2 ** 18)}


class Account(NamedTuple):
  """The memory of one contender's step.

  Attributes:
    tensors: the bytes of the tensors at the peak by kind, a key of `KINDS`.
    unit: the bytes of all norm-activation layers' inputs.
    largest: the largest of these tensors, as tuples of bytes, kind, operation and shape.
    resident: the parts of the resident growth, in bytes, by their names in the table.
  """
  tensors: dict[str, int]
  unit: int
  largest: list[tuple[int, str, str, str]]
  resident: dict[str, int]


def measure_account(model_name: str, batch_size: int, width_multiplier: float, largest: int, contender: Contender
                    ) -> Account:
  """Returns the memory of a training step in this process, which must be a new one.

  Args:
    model_name: the model's name, a key of `MODELS`.
    batch_size: the number of images in the step.
    width_multiplier: the factor of the model's channels.
    largest: the number of largest tensors to return.
    contender: the layer and its mode.
  """
  model, step = make_step(model_name, width_multiplier, contender)
  images, labels = make_batch(batch_size)
  built = read_memory()
  concrete = step.get_concrete_function(images, labels)
  traced = read_memory()
  for _ in range(3):
    step(images, labels).numpy()
  ran = read_memory()
  trace = trace_allocations(lambda: step(images, labels).numpy())
  norm_act = type(get_norm_act(contender.layer)())
  kinds = TensorKinds(concrete.graph, concrete.outputs[0], model, lambda layer: isinstance(layer, norm_act))
  live = trace.live_at_peak()
  by_kind, rows = collections.Counter(), []
  for allocation, kind in zip(live, kinds.classify(trace, live, batch_size)):
    by_kind[kind] += allocation.bytes
    rows.append((allocation.bytes, kind, allocation.operation, allocation.shape))
  resident = split_growth(built, traced, ran, by_kind.total(), [a.address for a in trace.allocations])
  return Account(dict(by_kind), kinds.bytes_of_activations(batch_size),
                 sorted(rows, key=lambda row: -row[0])[:largest], resident)


def split_growth(built: ProcessMemory, traced: ProcessMemory, ran: ProcessMemory, tensors: int, addresses: list[int]
                 ) -> dict[str, int]:
  """Returns the parts of the growth of the peak resident memory, in bytes by name, the last of them the whole.

  Args:
    built, traced, ran: the memory before tracing, after tracing and after the steps.
    tensors: the bytes of the tensors at the peak.
    addresses: those of the tensors in a step.
  """
  pooled = ran.resident_around(addresses) - traced.resident_around(addresses)
  parts = {
      'tensors at the peak': tensors,
      'allocator beyond': pooled - tensors,
      'tracing': traced.resident - built.resident,
      'heap used, later': ran.heap_used - traced.heap_used,
      'heap free': ran.heap_free - traced.heap_free,
      'code of libraries': ran.files - traced.files,
  }
  growth = ran.peak - built.resident
  return {**parts, 'rest': growth - sum(parts.values()), 'growth': growth}


def measure_unpooled(model_name: str, batch_size: int, width_multiplier: float, contender: Contender) -> int:
  """Returns the resident growth in this process, which must be a new one in the environment `UNPOOLED`.

  Args:
    model_name, batch_size, width_multiplier, contender: as for `measure_account`.
  """
  return measure_account(model_name, batch_size, width_multiplier, 0, contender).resident['growth']


def in_new_process(function, contender: Contender, environment: dict[str, str]):
  """Returns what a function of a contender returns in a new process.

  Args:
    function: the function; it can be pickled, and so can its result.
    contender: the layer and its mode.
    environment: environment variables for the process, besides those of this one.
  """
  before = dict(os.environ)
  os.environ.update(environment)
  try:
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
      return pool.submit(function, contender).result()
  finally:
    for name in environment.keys() - before.keys():
      del os.environ[name]


def make_table(title: str, rows: Iterable[tuple[str, list[str]]], contenders: list[Contender]) -> Table:
  """Returns a table with a column for each contender.

  Args:
    title: the table's title.
    rows: pairs of a row's name and its cells, one for each contender.
    contenders: the layers and their modes.
  """
  table = Table(title=title)
  table.add_column('MB')
  for contender in contenders:
    table.add_column(f'{contender.layer}\n{contender.mode}', justify='right')
  for name, cells in rows:
    table.add_row(name, *cells)
  return table


def print_accounts(accounts: dict[Contender, Account], console: Console) -> None:
  """Prints the tables, and the largest tensors of each contender.

  Args:
    accounts: the accounts by contender.
    console: where to print.
  """
  contenders, of_all = list(accounts), list(accounts.values())

  def tensors_cell(account, kind):
    size = account.tensors.get(kind, 0) if kind else sum(account.tensors.values())
    return f'{size / MEGABYTE:,.0f} {size / account.unit:5.2f}' if size else ''

  console.print(make_table('Tensors at the peak, in MB and in units of activations', [
      (label, [tensors_cell(account, kind) for account in of_all]) for kind, label in (*KINDS.items(), ('', 'sum'))
  ], contenders))
  console.print(make_table('Growth of the peak resident memory', [
      (part, [f'{account.resident[part] / MEGABYTE:,.0f}' for account in of_all]) for part in of_all[0].resident
  ], contenders))
  for contender, account in accounts.items():
    console.print(f'{contender.layer}, {contender.mode}: the largest tensors at the peak')
    for size, kind, operation, shape in account.largest:
      console.print(f'  {size / MEGABYTE:6.1f} MB  {kind:15}  {operation} {shape}', markup=False, highlight=False)


_MODEL = flags.DEFINE_enum('model', 'ResNetV2-50', list(MODELS), 'The model.')
_LAYERS = define_names('layers', ('bn_relu', 'bn_silu', 'evonorm_s0', 'evonorm_b0'), tuple(NORM_ACTS), 'Layers.')
_MODES = define_names('modes', ('core', 'graph'), ('core', 'graph'), 'Modes of the EvoNorms.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 128, 'Images in a step.', lower_bound=1)
_WIDTH_MULTIPLIER = flags.DEFINE_float('width_multiplier', .5, "Factor of the model's channels.", lower_bound=0.)
_LARGEST = flags.DEFINE_integer('largest', 8, 'Largest tensors to print.', lower_bound=0)
_JSON = define_json()


def main(_):
  """Runs the benchmark and prints its tables; the argument, the command line without flags, is not used."""
  contenders = [Contender(name, mode) for name in _LAYERS.value
                for mode in (_MODES.value if name.startswith('evonorm') else ['graph'])]
  setting = _MODEL.value, _BATCH_SIZE.value, _WIDTH_MULTIPLIER.value
  accounts = {}
  for contender in track(contenders, 'measuring', transient=True):
    account = in_new_process(functools.partial(measure_account, *setting, _LARGEST.value), contender, {})
    unpooled = in_new_process(functools.partial(measure_unpooled, *setting), contender, UNPOOLED)
    accounts[contender] = account._replace(resident={**account.resident, 'growth if unpooled': unpooled})
  print_accounts(accounts, Console(width=150))
  if _JSON.value:
    records = [dict(model=_MODEL.value, batch_size=_BATCH_SIZE.value, width_multiplier=_WIDTH_MULTIPLIER.value,
                    layer=contender.layer, mode=contender.mode, **account._asdict())
               for contender, account in accounts.items()]
    pathlib.Path(_JSON.value).write_text(json.dumps({'accounts': records}, indent=1))


if __name__ == '__main__':
  app.run(main)
