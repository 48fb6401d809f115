"""Every gin file is parsed, its objects are built, its networks too, and its tasks are stepped twice on tiny data."""

import dataclasses
import inspect
import pathlib

import gin
import pytest

from search import evolution
from search.evaluation import Evaluation
from search.proxy_task import ProxyTask

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted((ROOT / 'gin' / 'search').glob('*.gin'))
by_name = pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)


@pytest.fixture(autouse=True)
def _no_configuration():
  """An empty configuration before and after."""
  gin.clear_config()
  yield
  gin.clear_config()


def parse(file, bindings=()):
  """Parses a file; returns the arguments that it gives the root function, all objects built."""
  gin.parse_config_files_and_bindings([str(file)], list(bindings))
  return gin.get_bindings(evolution.run_search)


def tiny(task, **options):
  """The task on 8×8 images of the bundled subset, two steps long, its networks with one block a stage."""
  architectures = tuple(dataclasses.replace(a, options=a.options | {'depth_multiplier': .01}) for a in task.architectures)
  tiny_data = dict(steps=2, batch_size=4, image_size=8, crop_size=8, validation_images=10, data_dir=None)
  return dataclasses.replace(task, architectures=architectures, **tiny_data | options)


@by_name
def test_the_root_function_gets_its_arguments(file):
  arguments = parse(file)
  inspect.signature(evolution.run_search).bind('model_dir', **arguments)
  assert isinstance(arguments['evaluation'], Evaluation) and isinstance(arguments['evaluation'].task, ProxyTask)
  assert isinstance(arguments['reranking'], evolution.Reranking)
  assert not arguments['evaluation'].test and arguments['reranking'].evaluation.test


@by_name
def test_no_binding_is_idle(file):
  """A scope that no reference names would be parsed without a complaint, and change nothing."""
  parse(file)
  used = set(gin.config._OPERATIVE_CONFIG)
  bound = {key for key in gin.config._CONFIG if key[1] != 'search.evolution.run_search'}
  scopes = {scope for scope, _ in used}
  assert {selector for _, selector in bound} <= {selector for _, selector in used}
  assert {scope for scope, _ in bound if scope} <= scopes


@by_name
def test_the_networks_are_built(file):
  arguments = parse(file)
  for evaluation in (arguments['evaluation'], arguments['reranking'].evaluation):
    task = dataclasses.replace(evaluation.task, data_dir=None, validation_images=10)
    dataclasses.replace(evaluation, task=task).check()


@by_name
def test_two_steps(file):
  """Of the search in one architecture and of the re-ranking in another one, as they come round with the files."""
  arguments = parse(file)
  for offset, evaluation in enumerate((arguments['evaluation'], arguments['reranking'].evaluation)):
    architectures = tiny(evaluation.task).architectures
    architecture = architectures[(FILES.index(file) + offset) % len(architectures)]
    quality = evaluation.quality and dataclasses.replace(evaluation.quality, min_accuracy=0.)
    outcome = dataclasses.replace(evaluation, task=tiny(evaluation.task, architectures=(architecture,)),
                                  quality=quality, stability=None).evaluate('evonorm_s0')
    assert (outcome.outcome, outcome.detail) == ('accepted', '')
    assert bool(outcome.test_scores) == bool(offset)


@pytest.mark.slow
@by_name
def test_two_steps_in_every_architecture_and_of_the_stability_test(file):
  arguments = parse(file)
  for evaluation in (arguments['evaluation'], arguments['reranking'].evaluation):
    quality = evaluation.quality and dataclasses.replace(evaluation.quality, min_accuracy=0.)
    stability = evaluation.stability and dataclasses.replace(evaluation.stability, steps=2)
    outcome = dataclasses.replace(evaluation, task=tiny(evaluation.task), quality=quality,
                                  stability=stability).evaluate('evonorm_s0')
    assert (outcome.outcome, outcome.detail) == ('accepted', '')
    assert len(outcome.scores) == len(evaluation.task.architectures)


@by_name
def test_misspelt_bindings_fail_when_parsed(file):
  for binding in ('run_search.candidatess = 3', 'proxy_task.ProxyTask.step = 3', 'run_serch.candidates = 3'):
    with pytest.raises(ValueError, match="'(candidatess|step|run_serch)'"):
      parse(file, [binding])
  wrong = file.read_text().replace('evolution.run_search.window', 'evolution.run_search.windw')
  with pytest.raises(ValueError, match="'run_search' doesn't have a parameter named 'windw'"):
    gin.parse_config(wrong)


@by_name
def test_the_header_tells_the_command(file):
  header = file.read_text().partition('\nfrom __gin__')[0]
  assert f'python -m search.run_search --gin_file=gin/search/{file.name} ' in header


def test_bindings_win_over_the_file():
  bindings = ['run_search.candidates = 3', 'reranking/proxy_task.ProxyTask.steps = 11']
  arguments = parse(ROOT / 'gin' / 'search' / 'quickstart.gin', bindings)
  assert arguments['candidates'] == 3 and arguments['reranking'].evaluation.task.steps == 11
  assert arguments['evaluation'].task.steps != 11
