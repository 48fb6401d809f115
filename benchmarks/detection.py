"""Cost of a Mask R-CNN training step with GN-ReLU or an EvoNorm compared with fused BN-ReLU: time and peak memory.

  python -m benchmarks.detection [--models=R18-FPN,R50-FPN] [--batch_size=2] [--repeats=5] [--modes=core] [--json=FILE]

R18-FPN has thin heads and images of 256 pixels; R50-FPN has Model Garden's heads and images of 512 pixels. A step is
Model Garden's: forward pass, its five losses, weight decay, backward pass, SGD with momentum, always on the same batch
of synthetic images of shapes. A contender is a layer in a mode. In mode 'core', the default in training on a CPU, XLA
compiles each EvoNorm's computation (`jit_compile=True`); in mode 'graph' nothing is compiled. Statistics are not
synchronized over replicas, because BN-ReLU then has no fused kernel and EvoNorm-B0 cannot be compiled.

The columns of the table:
- time: the median time of a step, as a ratio to BN-ReLU. The contenders take turns.
- memory: the growth of the peak resident memory (Linux's VmHWM) from before the first step to after the third, as a
  ratio to BN-ReLU. Each contender runs in a process of its own. The growth includes activations, gradients, momentum
  and the memory for tracing and compiling, but not the weights.
- peak: the peak resident memory of that process, in GB.

On two cores R18-FPN takes three minutes, and R50-FPN with --batch_size=1 --repeats=3 takes six.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import concurrent.futures
import functools
import io
import json
import multiprocessing
import pathlib
import re
import tempfile
from typing import NamedTuple

from absl import app
from absl import flags
from absl import logging
from official.vision.configs import maskrcnn
from official.vision.tasks.maskrcnn import MaskRCNNTask
from rich.console import Console
from rich.progress import track
from rich.table import Table
import tensorflow as tf
import tf_keras

from benchmarks.measuring.timing import median_seconds
from detection.data.shapes import write_shapes
from detection.models import build_mask_rcnn
from detection.models import ResNetFpn

WEIGHT_DECAY = 4e-5
THIN = ResNetFpn(
    18, synchronized=False, fpn_filters=64, rpn_filters=64, box_filters=64, box_convs=1, box_units=128,
    mask_filters=64, mask_convs=2, pre_nms_top_k=200, num_proposals=100, num_sampled_rois=32, num_sampled_masks=8)
MODELS = {'R18-FPN': (THIN, 256), 'R50-FPN': (ResNetFpn(50, synchronized=False), 512)}  # and image size in pixels
BASE = 'bn_relu', 'graph'  # the contender to which ratios are taken
CONTENDERS = (BASE, ('gn_relu', 'graph'), *((name, mode) for name in ('evonorm_b0', 'evonorm_s0')
                                            for mode in ('graph', 'core')))


class Memory(NamedTuple):
  """Memory of a process.

  Attributes:
    growth: the growth of its peak resident memory during training, in bytes.
    peak: the peak resident memory, in bytes.
  """
  growth: int
  peak: int


def make_task(model: str, num_classes: int) -> MaskRCNNTask:
  """Returns Model Garden's Mask R-CNN task, which has the losses and the training step.

  Args:
    model: the model's name, a key of `MODELS`.
    num_classes: the number of categories plus 1, because class 0 is the background.
  """
  family, size = MODELS[model]
  return MaskRCNNTask(maskrcnn.MaskRCNNTask(
      model=family.config(num_classes, size), losses=maskrcnn.Losses(l2_weight_decay=WEIGHT_DECAY)))


def read_batch(model: str, batch_size: int, folder: str):
  """Returns a model's task and one batch of training data.

  Args:
    model: the model's name, a key of `MODELS`.
    batch_size: the number of images in the batch.
    folder: the folder of the images of shapes; they are written to it if it does not have them.

  Returns:
    The task, the images [`batch_size`, size, size, 3], and Model Garden's labels.
  """
  info, _ = write_shapes(folder, batch_size, 1, MODELS[model][1], console=Console(file=io.StringIO()))
  task = make_task(model, info.num_classes)
  dataset = task.build_inputs(maskrcnn.DataConfig(
      input_path=info.records, is_training=True, global_batch_size=batch_size, dtype='float32', shuffle_buffer_size=1))
  return (task, *next(iter(dataset)))


def make_step(task: MaskRCNNTask, name: str, mode: str):
  """Returns a function of images and labels that takes one training step of a new model and returns the loss.

  Args:
    task: the result of `make_task`.
    name: the layer's name, as for `evonorm_tf.get_norm_act`.
    mode: 'core' or 'graph' (see the module), which only matters to EvoNorms.
  """
  options = {'jit_compile': mode == 'core'} if name.startswith('evonorm') else {}
  model = build_mask_rcnn(task.task_config.model, name, options, WEIGHT_DECAY)
  optimizer = tf_keras.optimizers.legacy.SGD(1e-3, momentum=0.9)

  @tf.function
  def step(images, labels):
    return task.train_step((images, labels), model, optimizer)[task.loss]

  return step


def measure_seconds(model: str, contenders, batch_size: int, repeats: int, folder: str) -> dict[tuple[str, str], float]:
  """Returns the median time of a training step by contender, in seconds.

  Args:
    model: the model's name, a key of `MODELS`.
    contenders: pairs of a layer's name and a mode.
    batch_size: the number of images in a step.
    repeats: the number of timed steps of each contender.
    folder: the folder for the images of shapes.
  """
  task, images, labels = read_batch(model, batch_size, folder)
  steps = {contender: make_step(task, *contender) for contender in track(contenders, 'building', transient=True)}
  return median_seconds(steps, (images, labels), repeats)


def measure_memory(model: str, batch_size: int, folder: str, contender: tuple[str, str]) -> Memory:
  """Returns the memory that three training steps take in this process, which must be a new one.

  Args:
    model: the model's name, a key of `MODELS`.
    batch_size: the number of images in a step.
    folder: the folder for the images of shapes.
    contender: the layer's name and the mode.
  """
  task, images, labels = read_batch(model, batch_size, folder)
  step = make_step(task, *contender)
  before = _peak()
  for _ in range(3):
    step(images, labels)
  return Memory(_peak() - before, _peak())


def _peak() -> int:
  """Returns this process's peak resident memory in bytes.

  It is not `ru_maxrss`, which a process inherits from the one that started it, and that one holds all contenders.
  """
  status = pathlib.Path('/proc/self/status').read_text()
  return 1024 * int(re.search(r'VmHWM:\s*(\d+) kB', status)[1])


def measure(model: str, contenders, batch_size: int, repeats: int) -> dict[tuple[str, str], tuple[float, Memory]]:
  """Returns the median time of a training step in seconds, and its memory, by contender.

  Args:
    model: the model's name, a key of `MODELS`.
    contenders: pairs of a layer's name and a mode.
    batch_size: the number of images in a step.
    repeats: the number of timed steps of each contender.
  """
  with tempfile.TemporaryDirectory() as folder:
    seconds = measure_seconds(model, contenders, batch_size, repeats, folder)
    tf_keras.backend.clear_session()
    with concurrent.futures.ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context('spawn'), max_tasks_per_child=1) as pool:
      memory = pool.map(functools.partial(measure_memory, model, batch_size, folder), contenders)
      return {contender: (seconds[contender], used)
              for contender, used in zip(contenders, track(memory, 'memory', len(contenders), transient=True))}


def make_table(figures: dict, batch_size: int) -> Table:
  """Returns the table of ratios to BN-ReLU, one row for each layer and mode.

  Args:
    figures: the results of `measure` by model; each must include `BASE`, BN-ReLU.
    batch_size: the number of images in a step, for the title.
  """
  table = Table(title=f'A training step of {batch_size} images, times BN-ReLU')
  for column in ('layer', 'mode'):
    table.add_column(column)
  for model in figures:
    for column in ('time', 'memory', 'peak, GB'):
      table.add_column(f'{model}\n{column}', justify='right')
  for contender in next(iter(figures.values())):
    cells = []
    for by_contender in figures.values():
      (seconds, used), (base_seconds, base_used) = by_contender[contender], by_contender[BASE]
      cells += [f'{seconds / base_seconds:.2f}', f'{used.growth / base_used.growth:.2f}', f'{used.peak / 1e9:.2f}']
    table.add_row(*contender, *cells)
  table.caption = 'BN-ReLU: ' + ', '.join(
      f'{model} {seconds:.2f} s and {used.growth / 1e9:.2f} GB'
      for model, (seconds, used) in ((model, by_contender[BASE]) for model, by_contender in figures.items()))
  return table


_MODELS = flags.DEFINE_list('models', list(MODELS), f'Of {list(MODELS)}.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 2, 'Images in a step.', lower_bound=1)
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed steps of each contender.', lower_bound=1)
_MODES = flags.DEFINE_list('modes', ['core'], "Modes of the EvoNorms: 'core', 'graph'.")
_JSON = flags.DEFINE_string('json', None, 'Writes the figures to this file.')


def main(_):
  """Runs the benchmark and prints its table; the argument, the command line without flags, is not used."""
  logging.set_verbosity(logging.ERROR)
  contenders = [c for c in CONTENDERS if not c[0].startswith('evonorm') or c[1] in _MODES.value]
  figures = {model: measure(model, contenders, _BATCH_SIZE.value, _REPEATS.value) for model in _MODELS.value}
  Console(width=110).print(make_table(figures, _BATCH_SIZE.value))
  if _JSON.value:
    records = [dict(model=model, layer=name, mode=mode, batch_size=_BATCH_SIZE.value, seconds=seconds,
                    bytes_grown=used.growth, bytes_peak=used.peak)
               for model, by_contender in figures.items() for (name, mode), (seconds, used) in by_contender.items()]
    pathlib.Path(_JSON.value).write_text(json.dumps({'steps': records}, indent=1))


if __name__ == '__main__':
  app.run(main)
