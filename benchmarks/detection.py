"""Cost of a Mask R-CNN training step with GN-ReLU or an EvoNorm compared with fused BN-ReLU: time and peak memory.

  python -m benchmarks.detection [--models=R18-FPN,R50-FPN] [--modes=graph,core] [--batch_size=2] [--repeats=5]
    [--rounds=3] [--json=FILE]

R18-FPN has thin heads and images of 256 pixels; R50-FPN has Model Garden's heads and images of 512 pixels. A step is
Model Garden's: forward pass, its five losses, weight decay, backward pass, SGD with momentum, always on the same batch
of synthetic images of shapes. A contender is a layer in a mode. In mode 'core', the default in training on a CPU, XLA
compiles each EvoNorm's computation (`jit_compile=True`); in mode 'graph' nothing is compiled. Statistics are not
synchronized over replicas, because BN-ReLU then has no fused kernel and EvoNorm-B0 cannot be compiled.

A model's table has the time of a step, the time to trace it and of the first step after that, and the memory it takes,
as ratios to BN-ReLU; `benchmarks.measuring.training_steps` explains the columns. The times of a step are measured last,
with all contenders in this process. The rest is measured in --rounds processes for each contender.

On two cores R18-FPN takes twelve minutes, and R50-FPN with --batch_size=1 --repeats=3 an estimated half an hour.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import dataclasses
import functools
import io
import json
import pathlib
import tempfile

from absl import app
from absl import flags
from absl import logging
from official.vision.configs import maskrcnn
from official.vision.tasks.maskrcnn import MaskRCNNTask
from rich.console import Console
from rich.progress import track
import tensorflow as tf
import tf_keras

from benchmarks.measuring.command_line import define_json
from benchmarks.measuring.command_line import define_names
from benchmarks.measuring.processes import take_turns
from benchmarks.measuring.timing import median_seconds
from benchmarks.measuring.training_steps import BASE
from benchmarks.measuring.training_steps import choose
from benchmarks.measuring.training_steps import Contender
from benchmarks.measuring.training_steps import Cost
from benchmarks.measuring.training_steps import make_optimizer
from benchmarks.measuring.training_steps import make_table
from benchmarks.measuring.training_steps import measure_start
from benchmarks.measuring.training_steps import RECOMPUTE
from benchmarks.measuring.training_steps import SECOND_BASE
from benchmarks.measuring.training_steps import Start
from benchmarks.measuring.training_steps import to_records
from detection.data.shapes import write_shapes
from detection.models import build_mask_rcnn
from detection.models import ResNetFpn

WEIGHT_DECAY = 4e-5
THIN = ResNetFpn(
    18, synchronized=False, fpn_filters=64, rpn_filters=64, box_filters=64, box_convs=1, box_units=128,
    mask_filters=64, mask_convs=2, pre_nms_top_k=200, num_proposals=100, num_sampled_rois=32, num_sampled_masks=8)
MODELS = {'R18-FPN': (THIN, 256), 'R50-FPN': (ResNetFpn(50, synchronized=False), 512)}  # and image size in pixels
MODES = ('graph', 'core')
CONTENDERS = (BASE, SECOND_BASE, Contender('gn_relu', 'graph'),
              *(Contender(layer, mode) for layer in ('evonorm_b0', 'evonorm_s0') for mode in MODES),
              *(Contender(layer, 'core', RECOMPUTE) for layer in ('evonorm_b0', 'evonorm_s0')))


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


def make_step(task: MaskRCNNTask, model: str, contender: Contender):
  """Returns a `tf.function` of images and labels that takes one training step of a new model and returns the loss.

  Args:
    task: the result of `make_task`.
    model: the model's name, a key of `MODELS`.
    contender: the layer and its mode; its options replace fields of the model's family.
  """
  family, size = MODELS[model]
  config = dataclasses.replace(family, **dict(contender.options)).config(task.task_config.model.num_classes, size)
  network = build_mask_rcnn(config, contender.layer, contender.layer_options, WEIGHT_DECAY)
  optimizer = make_optimizer(network.trainable_variables, learning_rate=1e-3)

  @tf.function
  def step(images, labels):
    return task.train_step((images, labels), network, optimizer)[task.loss]

  return step


def start_training(model: str, batch_size: int, folder: str, contender: Contender) -> Start:
  """Returns what the first steps of a new model cost in this process, which must be a new one.

  Args:
    model: the model's name, a key of `MODELS`.
    batch_size: the number of images in a step.
    folder: the folder for the images of shapes.
    contender: the layer and its mode.
  """
  logging.set_verbosity(logging.ERROR)
  task, images, labels = read_batch(model, batch_size, folder)
  return measure_start(make_step(task, model, contender), (images, labels))


def measure(model: str, contenders: list[Contender], batch_size: int, rounds: int, repeats: int
            ) -> dict[Contender, Cost]:
  """Returns the cost of a training step by contender.

  Args:
    model: the model's name, a key of `MODELS`.
    contenders: the layers and their modes.
    batch_size: the number of images in a step.
    rounds: the number of processes for each contender.
    repeats: the number of timed steps of each contender.
  """
  with tempfile.TemporaryDirectory() as folder:
    task, images, labels = read_batch(model, batch_size, folder)
    starts = take_turns(functools.partial(start_training, model, batch_size, folder), contenders, rounds, model)
  steps = {contender: make_step(task, model, contender)
           for contender in track(contenders, f'{model} building', transient=True)}
  seconds = median_seconds(steps, (images, labels), repeats, model)
  tf_keras.backend.clear_session()
  return {contender: Cost(seconds[contender], starts[contender]) for contender in contenders}


_MODELS = define_names('models', tuple(MODELS), tuple(MODELS), 'Models to measure.')
_MODES = define_names('modes', MODES, MODES, 'Modes of the EvoNorms to measure.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 2, 'Images in a step.', lower_bound=1)
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed steps of each contender.', lower_bound=1)
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'Processes for each contender.', lower_bound=1)
_JSON = define_json()


def main(_):
  """Runs the benchmark and prints its tables; the argument, the command line without flags, is not used."""
  logging.set_verbosity(logging.ERROR)
  records, contenders = [], choose(CONTENDERS, _MODES.value)
  for model in MODELS:
    if model in _MODELS.value:
      costs = measure(model, contenders, _BATCH_SIZE.value, _ROUNDS.value, _REPEATS.value)
      title = f'{model}, {_BATCH_SIZE.value} images of {MODELS[model][1]} pixels, times BN-ReLU'
      Console(width=110).print(make_table(title, costs))
      records += to_records(costs, model=model, batch_size=_BATCH_SIZE.value)
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps({'steps': records}, indent=1))


if __name__ == '__main__':
  app.run(main)
