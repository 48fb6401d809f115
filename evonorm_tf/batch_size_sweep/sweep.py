"""Sweeps that train over a grid of norm-acts × batch sizes × seeds, for the paper's figure of accuracy by batch size.

The whole state of a sweep is in its `model_dir`, so that the same call resumes it. This folder contains one folder per
run, which receives the result when the run ends, and sweep.json, the settings on which the results depend.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import functools
import inspect
import json
import pathlib
import textwrap

from rich.console import Console
from rich.text import Text

from evonorm_tf import checks
from evonorm_tf.batch_size_sweep import hparams
from evonorm_tf.batch_size_sweep import report as sweep_report
from evonorm_tf.batch_size_sweep.progress import SweepProgress
from evonorm_tf.batch_size_sweep.runs import DONE
from evonorm_tf.batch_size_sweep.runs import execute
from evonorm_tf.batch_size_sweep.runs import GRAPHS
from evonorm_tf.batch_size_sweep.runs import label_norm_acts
from evonorm_tf.batch_size_sweep.runs import make_runs
from evonorm_tf.batch_size_sweep.runs import read_result
from evonorm_tf.batch_size_sweep.runs import Result
from evonorm_tf.batch_size_sweep.runs import Run
from evonorm_tf.batch_size_sweep.runs import write_result
from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import EvoNormError
from evonorm_tf.errors import wrap_system_errors
from evonorm_tf.former_names import without_modules
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.layers.registry import norm_act_settings
from evonorm_tf.output.model_dir import check_folder
from evonorm_tf.output.model_dir import check_is_there
from evonorm_tf.output.model_dir import check_settings
from evonorm_tf.output.model_dir import lock
from evonorm_tf.output.model_dir import ModelDirError
from evonorm_tf.output.model_dir import replacing
from evonorm_tf.output.model_dir import write_json

VERSION = 1
_HEADER = 'sweep.json'


@wrap_system_errors()
def run_sweep(model_dir: str, train: Callable[..., Mapping[str, float]], norm_acts: Sequence[str],
              batch_sizes: Sequence[int], seeds: Sequence[int], settings: Callable[[], Mapping[str, str]] = dict,
              operative_config: Callable[[], str] = str) -> dict[Run, Result]:
  """Runs a sweep or resumes it; this is the function that the command `evonorm-sweep` calls.

  After each run, results.csv, results.md and accuracy_by_batch_size.png in `model_dir` are updated, and so is the run's
  row in TensorBoard's HParams dashboard. Failed runs are reported, and tried again by the next call. The grid may
  change from call to call; the reports show the current grid.

  Args:
    model_dir: the folder of the sweep; it is made if necessary.
    train: a function that trains one network. It is called for each run as
      `train(model_dir=..., mode='train_and_eval', norm_act=..., batch_size=..., seed=...)`, with its own `model_dir`.
      It should resume from the checkpoints there and scale its learning rate with the batch size. It returns a dict
      with `accuracy` (a fraction) and optionally `top_5_accuracy`, `validation_loss` and `seconds`.
    norm_acts: the norm-acts, all different: names of layers, paths of layer graphs' JSON files, or folders of searches.
    batch_sizes: the batch sizes in images, all different, in the sense in which `train` uses `batch_size`.
    seeds: the seeds, different integers of at least 0. Each norm-act is trained once per batch size and seed.
    settings: a function that returns the other settings on which the results depend, a dict of texts; default: none.
    operative_config: a function that returns the configuration as text, which is written to `model_dir` and
      TensorBoard after the first run; by default empty.

  Returns:
    The result of each run, in the order of the runs: by seed, then by batch size, then by norm-act.

  Raises:
    ModelDirError: if `model_dir` contains results with other settings, another process is running the sweep, or the
      folder is removed during the sweep.
    ArgumentError: if an argument is invalid; raised before the first run.
    MachineError: if the results cannot be written.
  """
  checks.check_plain_paths(model_dir=str(model_dir))
  _check_numbers('batch_sizes', batch_sizes, least=1)
  _check_numbers('seeds', seeds, least=0)
  _check_train(train)
  layers = _check_norm_acts(norm_acts)
  model_dir = pathlib.Path(model_dir)
  runs = make_runs(_specs(model_dir, layers), batch_sizes, seeds)
  check_folder(model_dir)
  model_dir.mkdir(parents=True, exist_ok=True)
  with open(model_dir / 'sweep.lock', 'a', encoding='utf-8') as file:
    lock(file, 'sweep')
    _write_header(model_dir, dict(settings()), layers)
    _keep_graphs(model_dir, layers)
    results = {run: read_result(run, model_dir) for run in runs}
    _run_all(runs, results, train, model_dir, operative_config, functools.partial(check_is_there, file, 'sweep'))
  console = Console()
  console.print(Text(sweep_report.accuracy_table(runs, results)), soft_wrap=True)
  console.print(Text(f'Report: {model_dir / sweep_report.PAGE}'), soft_wrap=True)
  return results


def _run_all(runs: Sequence[Run], results: dict[Run, Result], train: Callable[..., Mapping[str, float]],
             model_dir: pathlib.Path, operative_config: Callable[[], str], before_writing: Callable[[], None]) -> None:
  """Makes all runs that are not done; writes each result and the reports before the next run starts."""
  hparams.write_experiment(model_dir, runs)
  sweep_report.write_report(model_dir, runs, results)
  config_is_written = False
  progress = SweepProgress(runs, results)
  for run in (r for r in runs if results[r].status != DONE):
    progress.begin(run)
    results[run] = execute(run, train, model_dir)
    before_writing()
    hparams.write_run(model_dir, run, results[run])
    write_result(run, results[run], model_dir)
    progress.end(run)
    sweep_report.write_report(model_dir, runs, results)
    if not config_is_written:  # gin knows the complete operative configuration only after the first run
      _write_config(model_dir, operative_config())
      config_is_written = True


def _check_numbers(name: str, numbers: Sequence[int], least: int) -> None:
  is_right = isinstance(numbers, (list, tuple)) and all(type(n) is int and n >= least for n in numbers)
  if not is_right or not numbers or len(set(numbers)) < len(numbers):
    raise ArgumentError(f'`{name}` must be different integers from {least} on, at least one, received {numbers!r}.')


def _check_train(train: Callable) -> None:
  arguments = ('model_dir', 'mode', 'norm_act', 'batch_size', 'seed')
  try:
    inspect.signature(train).bind_partial(**dict.fromkeys(arguments))
  except TypeError as e:
    raise ArgumentError(f'`train` must be a function of {", ".join(arguments)}, received {train!r}: {e}.') from e


def _check_norm_acts(norm_acts: Sequence[str]) -> dict:
  """Returns the layer of each label: its name, or the layer graph as JSON data; raises ArgumentError for a bad one."""
  if not isinstance(norm_acts, (list, tuple)) or not norm_acts:
    raise ArgumentError(f'`norm_acts` must be different names or paths, at least one, received {norm_acts!r}.')
  layers = []
  for spec in norm_acts:
    try:
      with contextlib.suppress(TypeError):  # of a layer that needs options of the training's
        get_norm_act(spec)
      layers.append(norm_act_settings(spec))
    except (EvoNormError, ValueError) as e:
      raise ArgumentError(f'`norm_acts` must be what get_norm_act takes, received {spec!r}: {e}') from e
    if layers[-1] in layers[:-1]:
      raise ArgumentError(f'`norm_acts` must be different layers; {spec!r} is one of those before it in {norm_acts!r}.')
  return dict(zip(label_norm_acts(norm_acts), layers, strict=True))


def _specs(model_dir: pathlib.Path, layers: Mapping[str, str | dict]) -> dict[str, str]:
  """Returns what the trainings take for each label: the layer's name, or the file of its graph in `model_dir`."""
  return {label: layer if isinstance(layer, str) else str(model_dir / GRAPHS / f'{label}.json')
          for label, layer in layers.items()}


def _keep_graphs(model_dir: pathlib.Path, layers: Mapping[str, str | dict]) -> None:
  """Writes the layer graphs to `model_dir`, since their files may change in the hours of a sweep."""
  for label, spec in _specs(model_dir, layers).items():
    if not isinstance(layers[label], str):
      (model_dir / GRAPHS).mkdir(exist_ok=True)
      with replacing(pathlib.Path(spec)) as path:
        LayerGraph.from_dict(layers[label]).save(path)


def _write_header(model_dir: pathlib.Path, settings: dict, layers: dict) -> None:
  """Writes the settings and the layer of each label; raises ModelDirError if they differ from those of earlier runs."""
  path = model_dir / _HEADER
  begun = {}
  if path.exists():
    there = _read_header(path)
    begun = {label: layer for label, layer in there['norm_acts'].items() if (model_dir / label).exists()}
    if begun:
      here = {label: layers.get(label, layer) for label, layer in begun.items()}
      check_settings(path, {'settings': _without_modules(there['settings']), 'norm_acts': begun},
                     {'settings': _without_modules(settings), 'norm_acts': here}, 'sweep')
      settings = there['settings']  # as they were spelt
  header = {'version': VERSION, 'settings': settings, 'norm_acts': {**begun, **layers}}
  write_json(path, header, indent=2, end='\n')


def _without_modules(settings: dict) -> dict:
  """Returns the settings without the names of modules, which may have changed since the sweep was started."""
  return {without_modules(name): without_modules(value) if isinstance(value, str) else value
          for name, value in settings.items()}


def _read_header(path: pathlib.Path) -> dict:
  try:
    header = json.loads(path.read_text())
    if header['version'] == VERSION and isinstance(header['settings'], dict) and isinstance(header['norm_acts'], dict):
      return header
  except (ValueError, TypeError, KeyError):
    pass
  raise ModelDirError(f'{path}: expected the settings of a sweep of version {VERSION}.')


def _write_config(model_dir: pathlib.Path, config: str) -> None:
  with replacing(model_dir / 'operative_config.gin') as path:
    path.write_text(config)
  indented = textwrap.indent(config, '    ')  # a code block in Markdown
  hparams.write_text(model_dir, 'operative_config', indented)
