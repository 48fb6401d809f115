"""Cost of a training step with an EvoNorm compared with fused BN-ReLU: ResNetV2-50 and MobileNetV2 on 32×32 images.

  python -m benchmarks.models [--models=ResNetV2-50,MobileNetV2] [--modes=graph,core] [--batch_size=128]
    [--width_multiplier=1.0] [--repeats=5] [--rounds=3] [--json=FILE]

A step consists of forward pass, cross-entropy, backward pass and SGD with momentum. A contender is a layer in a mode:
in 'graph' nothing is compiled, in 'core' XLA compiles each EvoNorm's computation (`jit_compile=True`), and in 'XLA' the
whole step is compiled. BN-ReLU and BN-SiLU are always measured in mode 'graph'.

A model's table has the time of a step, the time to trace it and of the first step after that, and the memory it takes,
as ratios to BN-ReLU; `benchmarks.measuring.training_steps` explains the columns. The times of a step are measured last,
with all contenders in this process. The rest is measured in --rounds processes for each contender.

At full width it takes twenty minutes on two cores, and several times that with the mode 'XLA'.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import functools
import json
import pathlib

from absl import app
from absl import flags
from rich.console import Console
import tf_keras

from benchmarks.measuring.command_line import define_json
from benchmarks.measuring.command_line import define_names
from benchmarks.measuring.processes import take_turns
from benchmarks.measuring.small_models import make_batch
from benchmarks.measuring.small_models import make_step
from benchmarks.measuring.small_models import MODELS
from benchmarks.measuring.timing import median_seconds
from benchmarks.measuring.training_steps import BASE
from benchmarks.measuring.training_steps import choose
from benchmarks.measuring.training_steps import Contender
from benchmarks.measuring.training_steps import Cost
from benchmarks.measuring.training_steps import make_table
from benchmarks.measuring.training_steps import measure_start
from benchmarks.measuring.training_steps import RECOMPUTE
from benchmarks.measuring.training_steps import SECOND_BASE
from benchmarks.measuring.training_steps import Start
from benchmarks.measuring.training_steps import to_records

MODES = ('graph', 'core', 'XLA')
CONTENDERS = (BASE, Contender('bn_relu', 'XLA'), SECOND_BASE,
              *(Contender(layer, mode) for layer in ('evonorm_b0', 'evonorm_s0') for mode in MODES),
              *(Contender(layer, 'core', RECOMPUTE) for layer in ('evonorm_b0', 'evonorm_s0')))


def start_training(model_name: str, width_multiplier: float, batch_size: int, contender: Contender) -> Start:
  """Returns what the first steps of a new model cost in this process, which must be a new one.

  Args:
    model_name: a key of `MODELS`.
    width_multiplier: the factor of the model's channels.
    batch_size: the number of images in a step.
    contender: the layer and its mode.
  """
  return measure_start(make_step(model_name, width_multiplier, contender)[1], make_batch(batch_size))


def measure(model_name: str, contenders: list[Contender], width_multiplier: float, batch_size: int, rounds: int,
            repeats: int) -> dict[Contender, Cost]:
  """Returns the cost of a training step by contender.

  Args:
    model_name: a key of `MODELS`.
    contenders: the layers and their modes.
    width_multiplier: the factor of the model's channels.
    batch_size: the number of images in a step.
    rounds: the number of processes for each contender.
    repeats: the number of timed steps of each contender.
  """
  start = functools.partial(start_training, model_name, width_multiplier, batch_size)
  starts = take_turns(start, contenders, rounds, model_name)
  steps = {contender: make_step(model_name, width_multiplier, contender)[1] for contender in contenders}
  seconds = median_seconds(steps, make_batch(batch_size), repeats, model_name)
  tf_keras.backend.clear_session()
  return {contender: Cost(seconds[contender], starts[contender]) for contender in contenders}


_MODELS = define_names('models', tuple(MODELS), tuple(MODELS), 'Models to measure.')
_MODES = define_names('modes', ('graph', 'core'), MODES, 'Modes to measure.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 128, 'Images in a step.', lower_bound=1)
_WIDTH = flags.DEFINE_float('width_multiplier', 1., "The factor of the models' channels.", lower_bound=.01)
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Timed steps of each contender.', lower_bound=1)
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'Processes for each contender.', lower_bound=1)
_JSON = define_json()


def main(_):
  """Runs the benchmark and prints its tables; the argument, the command line without flags, is not used."""
  records, contenders = [], choose(CONTENDERS, _MODES.value)
  for name in MODELS:
    if name in _MODELS.value:
      costs = measure(name, contenders, _WIDTH.value, _BATCH_SIZE.value, _ROUNDS.value, _REPEATS.value)
      title = f'{name} × {_WIDTH.value:g}, {_BATCH_SIZE.value} images, times BN-ReLU in graph mode'
      Console(width=110).print(make_table(title, costs))
      records += to_records(costs, model=name, width_multiplier=_WIDTH.value, batch_size=_BATCH_SIZE.value)
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps({'steps': records}, indent=1))


if __name__ == '__main__':
  app.run(main)
