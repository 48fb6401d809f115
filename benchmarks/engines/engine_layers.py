"""The benchmark `layers` for Keras 3 on one engine.

A contender is a layer in a mode; the modes are those of the engine, and each module of `engines` says which. Times are
ratios to the first contender, a BN-ReLU as the engine computes it best. Memory is that of the tensors that the backward
pass reads from the forward pass, in units of x. The share of the memory bandwidth is that of the least traffic, which
reads x and writes y in the forward pass, reads x and dy and writes dx in the backward pass, in the time of both, of the
bandwidth of a copy of 256 MB in the same engine, which on a CPU also asks for the memory of its result.
"""

import importlib
import math
import os
import subprocess
import sys
import types

from rich.console import Console
from rich.table import Table

from benchmarks.measuring.timing import median_seconds

SHAPES = ((128, 16, 16, 64), (32, 56, 56, 64))
DTYPES = {'float32': 4, 'bfloat16': 2}  # and their bytes
PASSES = ('forward', 'forward_backward')
LEAST_TRAFFIC = 5  # times the size of x, in both passes
COPIED = (1 << 26,)  # float32 values


def run(backend: str, device: str, repeats: int) -> dict:
  """Runs the benchmark, prints its tables, and returns its figures as JSON data.

  Args:
    backend: 'tensorflow', 'jax' or 'torch', which KERAS_BACKEND names as well.
    device: 'cpu' or 'gpu'.
    repeats: the number of timed calls of each contender.
  """
  engine = importlib.import_module(f'benchmarks.engines.{backend}_engine')
  name = engine.device_name()
  if device == 'gpu' and not engine.on_gpu():
    raise SystemExit(f'--device=gpu: {backend} sees no GPU, only {name}.')
  others = _other_load(device)
  if others:
    print(f'WARNING: {others}; the figures may be too high.', file=sys.stderr)
  bandwidth = _bandwidth(engine)
  records = [record for dtype in DTYPES for shape in SHAPES for record in _measure(engine, shape, dtype, repeats)]
  for record in records:
    traffic = LEAST_TRAFFIC * _size(record['shape'], record['dtype'])
    record['bandwidth_share'] = traffic / record['seconds']['forward_backward'] / bandwidth
  console = Console(width=130)
  for dtype in DTYPES:
    console.print(_make_table(dtype, [record for record in records if record['dtype'] == dtype]))
  console.print(f'{backend} {engine.version()} on {name}; a copy moves {bandwidth / 1e9:.1f} GB a second')
  return {'backend': backend, 'version': engine.version(), 'device': name, 'other_load': others,
          'bytes_a_second': bandwidth, 'records': records}


def _measure(engine: types.ModuleType, shape: tuple[int, ...], dtype: str, repeats: int) -> list[dict]:
  """Returns one record for each contender, with the seconds of each pass and what it keeps in units of x."""
  contenders, (x, dy) = engine.contenders(shape[-1], dtype), engine.inputs(shape, dtype, 2)
  functions = {(key, label): getattr(engine, label)(contender)
               for key, contender in contenders.items() for label in PASSES}
  seconds = median_seconds(functions, (x, dy), repeats)
  return [{'layer': layer, 'mode': mode, 'shape': shape, 'dtype': dtype,
           'seconds': {label: seconds[(layer, mode), label] for label in PASSES},
           'kept_times_x': engine.kept_bytes(contender, x, dy) / _size(shape, dtype)}
          for (layer, mode), contender in contenders.items()]


def _size(shape: tuple[int, ...], dtype: str) -> int:
  """Returns the bytes of a tensor."""
  return DTYPES[dtype] * math.prod(shape)


def _bandwidth(engine: types.ModuleType) -> float:
  """Returns the bytes that a copy reads and writes in a second."""
  (x,) = engine.inputs(COPIED, 'float32', 1)
  seconds = median_seconds({'copy': engine.copy()}, (x,), 10)['copy']
  return 2 * _size(COPIED, 'float32') / seconds


def _make_table(dtype: str, records: list[dict]) -> Table:
  """Returns the table of one dtype, one row for each layer and mode."""
  first = records[0]
  table = Table(title=f'{dtype}: forward + backward, times {first["layer"]} in mode {first["mode"]}')
  for column in ('layer', 'mode'):
    table.add_column(column)
  for column in (*(str(list(shape)) for shape in SHAPES), 'kept, times x', 'of bandwidth, %'):
    table.add_column(column, justify='right')
  base = {record['shape']: record['seconds']['forward_backward'] for record in records
          if (record['layer'], record['mode']) == (first['layer'], first['mode'])}
  for key in dict.fromkeys((record['layer'], record['mode']) for record in records):
    rows = {record['shape']: record for record in records if (record['layer'], record['mode']) == key}
    ratios = [f'{rows[shape]["seconds"]["forward_backward"] / base[shape]:.2f}' for shape in SHAPES]
    largest = rows[SHAPES[-1]]
    table.add_row(*key, *ratios, f'{largest["kept_times_x"]:.2f}', f'{100 * largest["bandwidth_share"]:.0f}')
  times = ', '.join(f'{1e3 * base[shape]:.2f}' for shape in SHAPES)
  table.caption = f'{first["layer"]}: {times} ms; the last two columns are of {list(SHAPES[-1])}'
  return table


def _other_load(device: str) -> str:
  """Returns what else uses the device, in words; '' if nothing does or it cannot be told."""
  if device == 'cpu':
    load = os.getloadavg()[0]
    return f'the machine has a load of {load:.1f}' if load > .5 else ''
  try:
    listed = subprocess.run(['nvidia-smi', '--query-compute-apps=pid', '--format=csv,noheader'], capture_output=True,
                            text=True, check=True, timeout=20).stdout.split()
  except (OSError, subprocess.SubprocessError):
    return ''
  others = [pid for pid in listed if pid != str(os.getpid())]
  return f'{len(others)} other processes use the GPU' if others else ''
