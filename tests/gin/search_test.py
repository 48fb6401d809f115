"""Every gin file is parsed, its objects are built, its networks too, and its tasks are stepped twice on tiny data."""

import dataclasses
import functools
import inspect
import pathlib

import gin
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.norm_act import get_norm_act
from search import evolution
from search.evaluation.architecture import Architecture
from search.evaluation.evaluation import Evaluation
from search.evaluation.proxy_task import ProxyTask
from search.execution import ray_executor

ROOT = pathlib.Path(__file__).parents[2]
RAY = ROOT / 'gin' / 'search' / 'ray.gin'  # no search of its own: it is given after another file
FILES = sorted(set((ROOT / 'gin' / 'search').glob('*.gin')) - {RAY})
pytestmark = pytest.mark.usefixtures('no_configuration')
# The numbers of networks in the search and in the re-ranking: the quickstart's proxy is one, which a study chose.
ONE_NETWORK = 'quickstart', 'random_search', 'discover', 'discover_mended'
ALLOWED = {file.stem: (1, 3) if file.stem in ONE_NETWORK else (3,) for file in FILES}


def for_each_file(slow=lambda name: False):
  """A test of each file by its name, of which some are slow."""
  return pytest.mark.parametrize('file', [
      pytest.param(f, marks=[pytest.mark.slow] * slow(f.stem), id=f.stem) for f in FILES])


def parse(file, bindings=()):
  """Parses a file; returns the arguments that it gives the root function, all objects built."""
  gin.parse_config_files_and_bindings([str(file)], list(bindings))
  return gin.get_bindings(evolution.run_search)


def tiny(task):
  """The task on 8×8 images of the bundled subset, two steps long, its networks with one block a stage."""
  architectures = tuple(
      dataclasses.replace(a, options=a.options | {'depth_multiplier': .01}) for a in task.architectures)
  tiny_data = dict(steps=2, batch_size=4, image_size=8, crop_size=8, validation_images=10, data_dir=None)
  return dataclasses.replace(task, **{'architectures': architectures, **tiny_data})


@for_each_file()
def test_the_root_function_gets_its_arguments(file):
  arguments = parse(file)
  inspect.signature(evolution.run_search).bind('model_dir', **arguments)
  assert isinstance(arguments['evaluation'], Evaluation) and isinstance(arguments['evaluation'].task, ProxyTask)
  assert isinstance(arguments['reranking'], evolution.Reranking)
  assert not arguments['evaluation'].test and arguments['reranking'].evaluation.test


@for_each_file()
def test_no_binding_is_idle(file):
  """A scope that no reference names would be parsed without a complaint, and change nothing."""
  parse(file)
  bound, used = ({scope for scope, _ in config} for config in (gin.config._CONFIG, gin.config._OPERATIVE_CONFIG))
  assert bound <= used | {''}


@functools.cache
def parameters(family, options):
  """The number of parameters of a network, which is built once for all files; `options` as pairs."""
  return Architecture(family, dict(options)).make_model(get_norm_act('evonorm_s0'), 10).count_params()


def sizes(architectures):
  return [parameters(a.family, tuple(a.options.items())) for a in architectures]


# Of the other files the whole networks are quick to build.
@for_each_file(slow=lambda name: not name.startswith('cifar10'))
def test_the_networks_are_built_with_one_block_a_stage(file):
  arguments = parse(file)
  for evaluation in (arguments['evaluation'], arguments['reranking'].evaluation):
    assert len(sizes(tiny(evaluation.task).architectures)) in ALLOWED[file.stem]


@for_each_file(slow=lambda name: name.startswith('cifar10'))
def test_the_networks_have_the_size_of_a_proxy_task(file):
  arguments = parse(file)
  for evaluation in (arguments['evaluation'], arguments['reranking'].evaluation):
    built = sizes(evaluation.task.architectures)
    assert len(built) in ALLOWED[file.stem] and all(1e4 < size < 1e7 for size in built)


OUTCOMES = {}  # by evaluation: files that differ in the evolution alone share them


def outcomes(file, architectures=None, **tests):
  """Outcomes of EvoNorm-S0 after two steps in the first so many architectures, in the search and in the re-ranking."""
  arguments = parse(file)
  for evaluation in (arguments['evaluation'], arguments['reranking'].evaluation):
    task = tiny(evaluation.task)
    task = dataclasses.replace(task, architectures=task.architectures[:architectures])
    quality = evaluation.quality and dataclasses.replace(evaluation.quality, min_accuracy=0.)
    stability = evaluation.stability and dataclasses.replace(evaluation.stability, steps=2)
    changes = {'task': task, 'quality': quality, 'stability': stability, **tests}
    evaluation = dataclasses.replace(evaluation, **changes)
    if repr(evaluation) not in OUTCOMES:
      OUTCOMES[repr(evaluation)] = evaluation.evaluate('evonorm_s0')
    yield OUTCOMES[repr(evaluation)]


# The one that newcomers start; all files, and their stability tests, are slow.
@pytest.mark.parametrize('file', [f for f in FILES if f.stem == 'quickstart'], ids=lambda f: f.stem)
def test_two_steps_in_the_first_architecture(file):
  searched, reranked = outcomes(file, 1, stability=None)
  for outcome in (searched, reranked):
    assert (outcome.outcome, outcome.detail, list(outcome.scores)) == ('accepted', '', ['resnet'])
  assert reranked.test_scores and not searched.test_scores
  assert searched.cost.keys() == {'step_time', 'kept'} and not reranked.cost


@pytest.mark.slow
@for_each_file()
def test_two_steps_in_every_architecture_and_of_the_stability_test(file):
  for outcome in outcomes(file):
    assert (outcome.outcome, outcome.detail) == ('accepted', '') and len(outcome.scores) in ALLOWED[file.stem]


@for_each_file()
def test_misspelt_bindings_fail_when_parsed(file):
  for binding in ('run_search.candidatess = 3', 'proxy_task.ProxyTask.step = 3', 'run_serch.candidates = 3'):
    with pytest.raises(ValueError, match="'(candidatess|step|run_serch)'"):
      parse(file, [binding])


@for_each_file()
def test_ray_joins_every_search(file):
  alone = parse(file)
  gin.clear_config()
  gin.parse_config_files_and_bindings([str(file), str(RAY)], [])
  arguments = gin.get_bindings(evolution.run_search)
  assert arguments['evaluation'] == alone['evaluation'] and 'executor' not in alone
  executor = gin.get_bindings(ray_executor.RayExecutor)
  assert issubclass(arguments['executor'], ray_executor.RayExecutor) and executor['address'] == 'local'
  inspect.signature(ray_executor.RayExecutor).bind(**executor)


def test_ray_s_header_tells_the_command():
  assert '--gin_file=gin/search/ray.gin ' in RAY.read_text().partition('\nfrom __gin__')[0]


@for_each_file()
def test_the_header_tells_the_command(file):
  header = file.read_text().partition('\nfrom __gin__')[0]
  command = 'run_study' if file.stem == 'study' else 'run_search'
  assert f'python -m search.{command} --gin_file=gin/search/{file.name} ' in header


@pytest.mark.parametrize('name', ['cifar10_batch', 'cifar10_sample'])
def test_the_heads_say_what_is_not_the_papers(name):
  file = ROOT / 'gin' / 'search' / f'{name}.gin'
  header = file.read_text().partition('\nfrom __gin__')[0]
  assert "equivalents = 'redraw'" in header and 'static filter' in header and "The paper's search" not in header
  assert parse(file)['equivalents'] == 'redraw'
  gin.clear_config()
  assert parse(file, ["evolution.run_search.equivalents = 'evaluate'"])['equivalents'] == 'evaluate'


def test_bindings_win_over_the_file():
  bindings = ['run_search.candidates = 3', 'reranking/proxy_task.ProxyTask.steps = 11']
  arguments = parse(ROOT / 'gin' / 'search' / 'quickstart.gin', bindings)
  assert arguments['candidates'] == 3 and arguments['reranking'].evaluation.task.steps == 11
  assert arguments['evaluation'].task.steps != 11


@pytest.fixture(scope='module')
def quickstart_screening():
  """A function that evaluates a layer up to the quickstart's quality test."""
  gin.clear_config()
  evaluation = parse(ROOT / 'gin' / 'search' / 'quickstart.gin')['evaluation']
  gin.clear_config()
  task = dataclasses.replace(evaluation.task, steps=evaluation.quality.steps)
  return dataclasses.replace(evaluation, task=task, stability=None).evaluate


@pytest.mark.slow
@pytest.mark.parametrize('nodes', [(Node('max', (0, 1)),), (Node('sigmoid', (0,)), Node('mul', (0, 4)))],
                         ids=['ReLU', 'SiLU'])
def test_the_quickstart_rejects_layers_that_do_not_normalize(quickstart_screening, nodes):
  outcome = quickstart_screening(LayerGraph(nodes))
  assert outcome.outcome == 'rejected: quality' or 'loss is not finite' in outcome.detail, outcome


@pytest.mark.slow
@pytest.mark.parametrize('spec', ['bn_relu', 'evonorm_b0', 'evonorm_s0'])
def test_the_quickstart_accepts_known_layers(quickstart_screening, spec):
  outcome = quickstart_screening(spec)
  assert outcome.outcome == 'accepted', outcome
