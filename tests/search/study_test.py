"""Searches beside each other over one pool of workers, with a fake evaluation."""

import collections
import contextlib
import functools
import inspect
import json
import pathlib
import subprocess
import sys
import types

import gin
import numpy as np
import pytest

from evonorm_tf.cli import gin_configuration
from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import ModelDirError
import search as search_lib
from search import evolution
from search import study
from search.journal import records as records_lib
from search.journal.saved_search import load_search
from search.reporting import plots
from search.reporting import seed_bands
from search.selection.tournament import average_winner
from search.study import run_study
from tests.search.fake_search import FakeExecutor
from tests.search.fake_search import read
from tests.search.fake_search import stage

ROOT = pathlib.Path(__file__).parents[2]
GIN = """from __gin__ import dynamic_registration
from search import evolution
from search.graphs import random_graph
from search.selection import proposal
from search.selection import tournament
from tests.search import fake_search
evolution.run_search.evaluation = @fake_search.FakeEvaluation()
evolution.run_search.reranking = @evolution.Reranking()
evolution.Reranking.evaluation = @fake_search.FakeEvaluation()
evolution.Reranking.top = 2
evolution.run_search.references = ('bn_relu',)
evolution.run_search.strategy = @proposal.TournamentEvolution()
proposal.TournamentEvolution.initial_candidates = 3
evolution.run_search.space = @random_graph.SearchSpace()
random_graph.SearchSpace.nodes = 6
evolution.run_search.window = 5
evolution.run_search.candidates = 8
"""
SETTINGS = {'pareto': (), 'random': ('evolution.run_search.strategy = @proposal.RandomSearch()',)}
NAMES = ['pareto_seed_0', 'pareto_seed_1', 'random_seed_0', 'random_seed_1']


@pytest.fixture
def run(bare, tmp_path, monkeypatch):
  """Runs a study; returns the executor. gin's configuration is as it was before."""
  (tmp_path / 'mine.gin').write_text(GIN)
  gin.clear_config()

  def run(settings=SETTINGS, seeds=(0, 1), make=FakeExecutor, **options):
    made = []
    run_study(str(tmp_path / 'study'), settings, seeds, [str(tmp_path / 'mine.gin')],
              executor=lambda: made.append(make()) or made[0], workers=2, **options)
    return made[0]

  yield run
  assert gin.config_str() == ''


def test_each_setting_and_seed_has_a_search_and_all_are_compared(run, tmp_path):
  assert run().most is None  # closed
  folder = tmp_path / 'study'
  assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ['comparison', *NAMES]
  for name in NAMES:
    records = read(folder / name)
    assert collections.Counter(r['stage'] for r in records) == {'reference': 1, 'evolution': 8, 'reranking': 9}
    config = load_search(folder / name).config
    assert config['seed'] == int(name[-1])
    assert config['strategy']['class'] == ('RandomSearch' if 'random' in name else 'TournamentEvolution')
    events = b''.join(path.read_bytes() for path in (folder / name / 'tensorboard').iterdir())
    assert b'hparams' in events and b'strategy' in events
  page = (folder / 'comparison' / 'report.md').read_text()
  assert '| pareto | 2 |' in page and '| random | 2 |' in page and '± their standard error' in page


def test_searches_that_find_no_new_graph_keep_no_other_from_its_report(run, tmp_path, monkeypatch):
  ended = []
  monkeypatch.setattr(evolution, '_report', lambda records, folder, *_: ended.append(folder.name))
  monkeypatch.setattr('search.selection.proposal.MAX_DRAWS', 3000)
  small = ('random_graph.SearchSpace.nodes = 1', 'evolution.run_search.candidates = 1000')
  with pytest.raises(ArgumentError, match='(?s)small_seed_0: 3000 draws gave no new graph.*small_seed_1: 3000 draws'):
    run({'small': small, 'pareto': ()})
  folder = tmp_path / 'study'
  assert ended == NAMES[:2]
  assert len(stage(read(folder / 'small_seed_0'), 'evolution')) > 3
  assert '| small | 2 |' in (folder / 'comparison' / 'report.md').read_text()


def test_a_search_without_a_candidate_is_named_and_left_out_of_the_comparison(run, tmp_path, monkeypatch):
  monkeypatch.setattr('search.selection.proposal.MAX_DRAWS', 300)
  monkeypatch.setattr('search.selection.proposal.static_rejection',
                      lambda graph: 'too small' if len(graph.nodes) == 1 else None)
  with pytest.raises(ArgumentError, match='^tiny_seed_0: 300 draws gave no new graph'):
    run({'tiny': ('random_graph.SearchSpace.nodes = 1',), 'pareto': ()}, seeds=(0,))
  page = (tmp_path / 'study' / 'comparison' / 'report.md').read_text()
  assert 'pareto_seed_0' in page and 'tiny' not in page


class Alternating(FakeExecutor):
  """Notes the order of the tasks, and ends the first one first."""
  order: list = []

  def submit(self, key, function, *args):
    self.order.append(key)
    super().submit(key, function, *args)

  def next_result(self):
    key, function, args = self._tasks.pop(0)
    return key, function(*args)


@pytest.fixture
def uncompared(monkeypatch):
  """Leaves out the comparison of the searches."""
  monkeypatch.setattr(study, 'compare_searches', lambda searches, folder: folder)


@pytest.mark.usefixtures('uncompared')
def test_searches_take_turns(run):
  Alternating.order.clear()
  run(make=Alternating)
  first = [key.partition(':')[0] for key in Alternating.order[:8]]
  assert first == NAMES + NAMES


@pytest.mark.usefixtures('uncompared')
def test_a_search_is_what_it_is_alone(run, bare, tmp_path):
  # With one task of each search at a time, a search is reproducible.
  run(make=functools.partial(Room, 4))
  text = (tmp_path / 'mine.gin').read_text() + 'evolution.run_search.seed = 1\n'
  (tmp_path / 'alone.gin').write_text(text)
  alone = search_lib.run(tmp_path / 'alone.gin', model_dir=tmp_path / 'alone')
  assert read(alone.model_dir) == read(tmp_path / 'study' / 'pareto_seed_1')


class Room(Alternating):
  """Room for a number of tasks."""

  def __init__(self, room):
    super().__init__()
    self._room = room

  @property
  def free(self):
    return self._room - len(self._tasks)


@pytest.mark.usefixtures('uncompared')
def test_a_study_goes_on_where_it_stopped(run, tmp_path):
  class Stopping(Alternating):
    count = 0

    def next_result(self):
      Stopping.count += 1
      if Stopping.count > 30:
        raise RuntimeError('killed')
      return super().next_result()

  with pytest.raises(RuntimeError, match='killed'):
    run(make=Stopping)
  before = {name: read(tmp_path / 'study' / name) for name in NAMES}
  assert 30 == sum(map(len, before.values()))
  run(make=Alternating)
  for name in NAMES:
    records = read(tmp_path / 'study' / name)
    assert records[:len(before[name])] == before[name] and len(records) == 18


@pytest.mark.usefixtures('uncompared')
def test_seeds_and_settings_can_be_added_and_not_changed(run, tmp_path):
  run(seeds=(0,))
  first = read(tmp_path / 'study' / 'pareto_seed_0')
  run(settings=SETTINGS | {'average': ('proposal.TournamentEvolution.winner = @tournament.average_winner',)})
  assert read(tmp_path / 'study' / 'pareto_seed_0') == first
  assert len(read(tmp_path / 'study' / 'average_seed_1')) == 18
  with pytest.raises(ModelDirError, match='window'):
    run(bindings=['evolution.run_search.window = 7'])


@pytest.mark.usefixtures('uncompared')
def test_minutes_count_a_searchs_own_evaluations(run, tmp_path):
  # .5 seconds an evaluation, shared by 2 workers: 3 seconds are 12 evaluations.
  run(bindings=['evolution.run_search.candidates = 1000', 'evolution.run_search.max_minutes = .05'])
  for name in NAMES:
    evolved = records_lib.evaluated(load_search(tmp_path / 'study' / name).records)
    seconds = sum(record.total_seconds for record in evolved)
    assert 6. < seconds <= 6. + 2 * .5 and len(evolved) > 12  # failures take no time


@pytest.mark.usefixtures('uncompared')
def test_a_worker_that_dies_costs_its_own_search_alone(run, tmp_path):
  run(make=functools.partial(FakeExecutor, deadly=('pareto_seed_1: evolution 3',)))
  failed = {name: [r['index'] for r in stage(read(tmp_path / 'study' / name), 'evolution')
                   if 'worker process died' in r['detail']] for name in NAMES}
  assert failed == dict.fromkeys(NAMES, []) | {'pareto_seed_1': [3]}


def test_crashes_of_this_process_are_noted_in_the_searchs_journal(bare, tmp_path):
  (tmp_path / 'mine.gin').write_text(GIN)

  class Crashing(FakeExecutor):
    in_process = True

    def next_result(self):
      raise SystemError('crash')

  with pytest.raises(SystemError):
    run_study(str(tmp_path / 'study'), SETTINGS, (0,), [str(tmp_path / 'mine.gin')], executor=Crashing)
  lines = (tmp_path / 'study' / 'pareto_seed_0' / 'journal.jsonl').read_text().splitlines()
  assert json.loads(lines[1]) == {'begun': 'reference bn_relu'}


def test_a_study_needs_a_folder(bare, tmp_path):
  (tmp_path / 'mine.gin').write_text(GIN)
  with pytest.raises(ArgumentError, match='`model_dir` of a study must be a folder, received .*s3://bucket'):
    run_study('s3://bucket/study', SETTINGS, (0,), [str(tmp_path / 'mine.gin')], executor=FakeExecutor)


@pytest.mark.slow
def test_the_command_with_worker_processes(tmp_path):
  (tmp_path / 'mine.gin').write_text(GIN + f"""
from search import study
study.run_study.settings = {SETTINGS!r}
study.run_study.seeds = (0, 1)
study.run_study.workers = 2
""")
  command = [sys.executable, '-m', 'search.run_study', f'--gin_file={tmp_path}/mine.gin',
             f'--model_dir={tmp_path}/study']
  for _ in range(2):  # again, there is nothing left to do
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert [len(read(tmp_path / 'study' / name)) for name in NAMES] == [18] * 4
  assert '± their standard error' in (tmp_path / 'study' / 'comparison' / 'report.md').read_text()


@pytest.mark.parametrize('options, message', [
    ({'settings': {}}, '`settings` must have names'), ({'settings': {'a b': ()}}, '`settings` must have names'),
    ({'settings': {'a': 'b = 3'}}, "bindings of 'a' must be a list"), ({'seeds': ()}, '`seeds` must be different'),
    ({'seeds': (1, 1)}, '`seeds` must be different'), ({'settings': {'a': ('run_serch.window = 3',)}}, 'run_serch')])
def test_wrong_arguments_come_before_any_search(run, tmp_path, options, message):
  with pytest.raises(ArgumentError, match=message):
    run(**options)
  assert not list((tmp_path / 'study').glob('*/journal.jsonl'))


def test_groups_of_seeds():
  a, b = {'window': 1}, {'window': 2}
  groups = seed_bands.groups_of_seeds({
      'pareto_seed_0': a | {'seed': 0}, 'pareto_seed_1': a | {'seed': 1}, 'other7': b | {'seed': 0}})
  assert groups == {'pareto': ['pareto_seed_0', 'pareto_seed_1'], 'other7': ['other7']}
  assert seed_bands.groups_of_seeds({'x': a | {'seed': 0}, 'y': a | {'seed': 1}}) == {'x, y': ['x', 'y']}
  assert seed_bands.groups_of_seeds({'a_seed_0': a | {'seed': 0}, 'a_seed_1': a | {'seed': 1}, 'a': b}) == {
      'a_seed_0, a_seed_1': ['a_seed_0', 'a_seed_1'], 'a': ['a']}
  assert seed_bands.groups_of_seeds({'x': a, 'y': a}) == {'x': ['x'], 'y': ['y']}  # one seed: not of one kind
  four = {f'run{i}': (a if i < 2 else b) | {'seed': i % 2} for i in range(4)}
  assert seed_bands.groups_of_seeds(four) == {'run': ['run0', 'run1'], 'run2, run3': ['run2', 'run3']}


def test_the_error_of_a_mean():
  assert seed_bands.mean_and_error([.1, .2, .3]) == pytest.approx((.2, .1 / 3**.5))


def test_the_band_ends_where_the_shortest_search_does(make_record, monkeypatch):
  monkeypatch.setattr(plots, 'TOP', 2)
  searches = [[make_record(index=i, scores=(s,) * 3, seconds={'total': 1.}) for i, s in enumerate(scores)]
              for scores in ((.1, .3), (.2, .2, .8))]
  x, scores = seed_bands.top_band(searches, by_seconds=False)
  assert x[-1] == 2 and np.isnan(scores[:, 0]).all()
  assert scores[:, -1] == pytest.approx([.2, .2])


@pytest.fixture
def opened(monkeypatch, tmp_path):
  """Returns a function that configures a study, and returns the arguments of its searches, which it does not run."""
  arguments = {}

  @contextlib.contextmanager
  def open_search(model_dir, name, share, **own):
    arguments[name] = own | {'share': share}
    yield types.SimpleNamespace(journal=None)

  def enough(journals):
    raise RuntimeError('enough')

  def opened(file):
    gin.clear_config()
    root = gin_configuration.configure('search.study.run_study', [file], [], ('model_dir', 'files'))
    with pytest.raises(RuntimeError, match='enough'):
      root(model_dir=str(tmp_path), files=[file])
    return arguments

  open_search.__signature__ = inspect.signature(study.open_search)
  monkeypatch.setattr(study, 'open_search', open_search)
  monkeypatch.setattr(study, '_Notes', enough)
  yield opened
  gin.clear_config()


def test_the_configuration_of_the_package(opened):
  searches = opened('gin/search/study.gin')
  assert list(searches) == [f'{name}_seed_{seed}' for name in ('pareto', 'average', 'random') for seed in range(3)]
  kinds = [type(arguments['strategy']).__name__ for arguments in searches.values()]
  assert kinds == ['TournamentEvolution'] * 6 + ['RandomSearch'] * 3
  assert searches['average_seed_0']['strategy'].winner is average_winner
  for arguments in searches.values():
    assert len(arguments['callbacks']) == 1 and arguments['max_minutes'] == 6 and arguments['reranking'].top == 0


def test_a_study_of_ones_own(opened, monkeypatch, tmp_path):
  (tmp_path / 'my_parts.py').write_text('class Climber:\n  def draw(self, space, population, candidates, rng): ...\n')
  monkeypatch.syspath_prepend(tmp_path)
  file = tmp_path / 'own.gin'
  guide = (pathlib.Path(study.__file__).parents[1] / 'docs' / 'searching.md').read_text()
  file.write_text(next(text for text in guide.split('```') if 'import my_parts' in text))
  searches = opened(str(file))
  assert list(searches) == [f'{name}_seed_{seed}' for name in ('pareto', 'climber') for seed in range(3)]
  assert [type(s['strategy']).__name__ for s in searches.values()] == ['TournamentEvolution'] * 3 + ['Climber'] * 3
  assert all(arguments['share'] == 4 for arguments in searches.values())


def test_an_executor_of_the_searches_is_refused(opened, tmp_path):
  file = tmp_path / 'own.gin'
  file.write_text("""from __gin__ import dynamic_registration
from search import evolution
from search.execution import executors
include 'gin/search/study.gin'
evolution.run_search.executor = @executors.InProcess""")
  with pytest.raises(ArgumentError, match='`evolution.run_search.executor` must not be bound in a study'):
    opened(str(file))
