"""Latency of classifiers where they are served, with an EvoNorm compared with BN-ReLU folded into the convolutions.

  python -m benchmarks.inference [--models=ResNetV2-50,MobileNetV2] [--contenders=evonorm_b0,...] [--threads=1,2]
    [--size=224] [--repeats=10] [--rounds=3] [--json=FILE]

A model is served as a SavedModel, by tf_keras's `predict_on_batch`, and by TFLite in float32 (see
`benchmarks.measuring.serving`), one image or a batch of 32 at a time. Its weights are random. Contenders:
- bn_relu_folded: every batch normalization that reads a convolution is folded into it by `fold_norm_acts`. In the
  pre-activation ResNet those after an addition or a pooling remain. The base of all ratios.
- bn_relu: as it is. TensorFlow fuses it with the convolution before it when it optimizes a graph, and TFLite's
  converter folds it.
- evonorm_b0, evonorm_s0: as they are trained; in inference nothing is compiled by default.
- evonorm_b0_compiled, evonorm_s0_compiled: with `jit_compile=True`. TFLite has no XLA, and runs one by one the slices
  into which sums are cut for XLA.
- evonorm_b0_folded, evonorm_s0_folded: v1, γ, β and affine forms are folded into convolutions by `fold_norm_acts`, as
  far as they can be; this is what the classification trainer exports.

Each contender with each number of threads has a process of its own. The contenders of one model and number of threads
stay in memory together and take turns over the rounds; in a round a process times --repeats calls with one image and a
tenth as many with a batch. The table has medians over rounds of these medians. Exported files of ResNetV2-50 take 2 GB
in the folder for temporary files.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import concurrent.futures
from concurrent.futures.process import BrokenProcessPool
import contextlib
import json
import pathlib
import statistics
import sys
import tempfile
from typing import Any
from typing import NamedTuple

from absl import app
from absl import flags
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
import tensorflow as tf

from benchmarks.measuring import served_models
from benchmarks.measuring import serving
from benchmarks.measuring.command_line import define_json
from benchmarks.measuring.command_line import define_names
from benchmarks.measuring.served_models import BASE
from benchmarks.measuring.served_models import CONTENDERS
from benchmarks.measuring.served_models import MODELS

NO_VALUE = '–'
Advance = Callable[[str], None]  # told what has been done


class Settings(NamedTuple):
  """What is measured.

  Attributes:
    contenders: keys of `CONTENDERS`, among them `BASE`.
    threads: the numbers of threads.
    size: the height and width of the images in pixels.
    repeats: the number of timed calls with one image in a round; a batch is called a tenth as often, at least once.
    rounds: the number of rounds.
  """
  contenders: Sequence[str]
  threads: Sequence[int]
  size: int
  repeats: int
  rounds: int


class Figures(NamedTuple):
  """What was measured of one model.

  Attributes:
    seconds: the median time of a call in each round, by contender, form, threads and batch size.
    refusals: why TFLite refuses a contender, by contender; '' where it does not.
    differences: the largest difference to the outputs of `predict`, relative to the largest output, by contender and
      form.
    by_folding: the largest difference that folding makes to the outputs, relative to the largest output, by contender.
  """
  seconds: dict[tuple[str, str, int, int], list[float]]
  refusals: dict[str, str]
  differences: dict[str, dict[str, float]]
  by_folding: dict[str, float]


def measure(model: str, settings: Settings, advance: Advance) -> Figures:
  """Exports a model with each contender, and times all of them.

  Args:
    model: the model's name, a key of `MODELS`.
    settings: what to measure.
    advance: called after every step of `count_steps`, with words for it.
  """
  with tempfile.TemporaryDirectory() as folder:
    log = os.path.join(folder, 'stderr')
    pathlib.Path(log).touch()
    try:
      by_folding = _run_alone(log, served_models.check_folding, model, settings.size)
      refusals = export_all(model, settings, folder, log, advance)
      seconds: dict = {}
      differences: dict = {}
      for threads in settings.threads:
        measure_threads(model, settings, threads, folder, log, refusals, seconds, differences, advance)
    except BrokenProcessPool:
      sys.exit(f'A process has ended, perhaps for lack of memory:\n{pathlib.Path(log).read_text()[-2000:]}')
  return Figures(seconds, refusals, differences, by_folding)


def count_steps(settings: Settings) -> int:
  """Returns the number of steps that `measure` takes: exports, loads and rounds of each contender."""
  return len(settings.contenders) * (1 + len(settings.threads) * (1 + settings.rounds))


def export_all(model: str, settings: Settings, folder: str, log: str, advance: Advance) -> dict[str, str]:
  """Exports a model with each contender, two at a time, each in a process of its own; returns TFLite's refusals.

  Args:
    model, settings, advance: as for `measure`.
    folder: the folder that receives a folder for each contender.
    log: the file that receives what processes write to stderr.
  """
  def export(contender):
    path = os.path.join(folder, contender)
    return _run_alone(log, serving.export, model, contender, settings.size, path)

  refusals = {}
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    for contender, refusal in zip(settings.contenders, pool.map(export, settings.contenders)):
      refusals[contender] = refusal
      advance(f'{model}, {contender}: exported')
  return refusals


def measure_threads(model: str, settings: Settings, threads: int, folder: str, log: str, refusals: dict[str, str],
                    seconds: dict, differences: dict, advance: Advance) -> None:
  """Times all contenders with one number of threads, each in a process of its own, in turn.

  Args:
    model, settings, advance: as for `measure`.
    threads: the number of threads.
    folder, log: as for `export_all`, which has exported the contenders.
    refusals: the result of `export_all`.
    seconds, differences: as in `Figures`; what is measured is added to them.
  """
  def arguments(contender):
    return model, contender, settings.size, os.path.join(folder, contender), threads, not refusals[contender]

  with contextlib.ExitStack() as stack:
    pools = {contender: stack.enter_context(serving.new_process(threads, log)) for contender in settings.contenders}
    warm = {contender: pool.submit(serving.warm_up, *arguments(contender)) for contender, pool in pools.items()}
    for contender, future in warm.items():
      found, known = future.result(), differences.setdefault(contender, {})
      known.update({form: max(difference, known.get(form, 0.)) for form, difference in found.items()})
      advance(f'{model}, {contender}, threads: {threads}: loaded')
    for i in range(1, settings.rounds + 1):
      for contender, pool in pools.items():
        times = pool.submit(serving.time_forms, *arguments(contender), repeats=settings.repeats).result()
        for (form, batch_size), value in times.items():
          seconds.setdefault((contender, form, threads, batch_size), []).append(value)
        advance(f'{model}, {contender}, threads: {threads}: round {i} of {settings.rounds}')


def _run_alone(log: str, function: Callable, *arguments: Any) -> Any:
  """Returns function(*arguments), which runs in a new process with a single thread."""
  with serving.new_process(1, log) as pool:
    return pool.submit(function, *arguments).result()


def make_table(model: str, settings: Settings, figures: Figures) -> Table:
  """Returns a model's table: milliseconds of `BASE` and ratios to it, one row for each form, threads and batch size.

  Args:
    model: the model's name.
    settings: what was measured.
    figures: the result of `measure`.
  """
  table = Table(title=f'{model}, {settings.size} pixels: a call in ms, and in times that', box=box.SIMPLE_HEAD)
  for column in ('form', 'threads', 'images'):
    table.add_column(column, justify='left' if column == 'form' else 'right')
  for contender in settings.contenders:
    unit = ', ms' if contender == BASE else ''
    table.add_column(CONTENDERS[contender].title + unit, justify='right', max_width=11)
  medians = {key: statistics.median(values) for key, values in figures.seconds.items()}
  for form in serving.FORMS:
    for threads in settings.threads:
      for batch_size in serving.BATCH_SIZES:
        case = form, threads, batch_size
        cells = (_cell(medians, contender, case) for contender in settings.contenders)
        table.add_row(form, str(threads), str(batch_size), *cells, end_section=case[1:] == _last_case(settings))
  table.caption = '\n'.join(_captions(figures))
  return table


def _cell(medians: dict, contender: str, case: tuple[str, int, int]) -> str:
  value, base = (medians.get((name, *case)) for name in (contender, BASE))
  if value is None or base is None:
    return NO_VALUE
  if contender == BASE:
    return f'{1000 * value:.{2 if value < .01 else 1}f}'
  return f'{value / base:.2f}'


def _last_case(settings: Settings) -> tuple[int, int]:
  return settings.threads[-1], serving.BATCH_SIZES[-1]


def _captions(figures: Figures) -> list[str]:
  largest = max(difference for by_form in figures.differences.values() for difference in by_form.values())
  return [f'Folding changes outputs by up to {max(figures.by_folding.values()):.0e} of the largest one. Outputs of one '
          f'model in several forms differ by up to {largest:.0e}.',
          *(f'{NO_VALUE} {CONTENDERS[contender].title}: TFLite refuses it: {reason[:80]}'
            for contender, reason in figures.refusals.items() if reason)]


def to_json(settings: Settings, figures: dict[str, Figures]) -> str:
  """Returns all figures as JSON.

  Args:
    settings: what was measured.
    figures: the results of `measure` by model.
  """
  models = [dict(model=model, by_folding=f.by_folding, differences=f.differences,
                 tflite_refusals={name: reason for name, reason in f.refusals.items() if reason})
            for model, f in figures.items()]
  times = [dict(model=model, contender=contender, form=form, threads=threads, images=batch_size,
                seconds=statistics.median(values), seconds_by_round=values)
           for model, f in figures.items() for (contender, form, threads, batch_size), values in f.seconds.items()]
  versions = dict(tensorflow=tf.__version__, cpus=os.cpu_count())
  return json.dumps({'settings': {**settings._asdict(), **versions}, 'models': models, 'times': times}, indent=1)


_MODELS = define_names('models', tuple(MODELS), tuple(MODELS), 'Models to measure.')
_CONTENDERS = define_names('contenders', tuple(CONTENDERS), tuple(CONTENDERS), f'{BASE} is always timed.')
_THREADS = flags.DEFINE_list('threads', ['1', '2'], 'Numbers of threads.')
_SIZE = flags.DEFINE_integer('size', 224, 'Height and width of the images in pixels.', lower_bound=32)
_REPEATS = flags.DEFINE_integer(
    'repeats', 10, 'Timed calls with one image in a round; a batch is called a tenth as often.', lower_bound=1)
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'Rounds, in which the contenders take turns.', lower_bound=1)
_JSON = define_json()
flags.register_validator(_THREADS, lambda counts: bool(counts) and all(n.isdigit() and int(n) > 0 for n in counts),
                         'must be positive integers')


@contextlib.contextmanager
def _progress(steps: int) -> Iterator[Advance]:
  """Shows a bar on a terminal's stderr, and a line for each step elsewhere; yields the function to tell of a step."""
  console = Console(stderr=True, width=120, log_path=False)
  with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
    task = progress.add_task('starting', total=steps)

    def advance(words):
      progress.update(task, advance=1, description=words)
      if not console.is_terminal:
        console.log(words)

    yield advance


def main(_):
  """Runs the benchmark and prints its tables; the argument, the command line without flags, is not used."""
  settings = Settings([name for name in CONTENDERS if name == BASE or name in _CONTENDERS.value],
                      sorted({int(count) for count in _THREADS.value}), _SIZE.value, _REPEATS.value, _ROUNDS.value)
  figures = {}
  models = [name for name in MODELS if name in _MODELS.value]
  with _progress(len(models) * count_steps(settings)) as advance:
    for model in models:
      figures[model] = measure(model, settings, advance)
  for model in models:
    Console(width=120).print(make_table(model, settings, figures[model]))
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(to_json(settings, figures))


if __name__ == '__main__':
  app.run(main)
