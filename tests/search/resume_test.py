"""An interrupted search ends as one that was never interrupted, with a fake evaluation.

A killed search is one whose journal stops at some byte; it is cut there, raised out of there, and killed there.
"""

import itertools
import pathlib
import random
import subprocess
import sys
import time

import pytest

from evonorm_tf.output.model_dir import ModelDirError
from search import evolution
from search.graphs.random_graph import SearchSpace
from search.journal.journal import Journal
from search.selection.proposal import RandomSearch
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import FakeExecutor
from tests.search.fake_search import FakeTask
from tests.search.fake_search import read
from tests.search.fake_search import REFERENCES
from tests.search.fake_search import search
from tests.search.fake_search import stage
from tests.search.fake_search import untimed


class Killed(BaseException):
  """What nothing in the search catches."""


def run_killed(monkeypatch, model_dir, kill_at, **options):
  """Runs a search that is gone before record number `kill_at` is written."""
  append = Journal.append

  def append_or_die(self, record):
    if len(self.records) == kill_at:
      raise Killed
    append(self, record)

  with monkeypatch.context() as patch:
    patch.setattr(Journal, 'append', append_or_die)
    search(model_dir, **options)


def test_killed_before_every_record_and_resumed(bare, whole, tmp_path, monkeypatch):
  count = len(whole[1])
  for kill_at in range(count):
    with pytest.raises(Killed):
      run_killed(monkeypatch, tmp_path, kill_at)
    assert len(read(tmp_path)) == kill_at
  assert untimed(search(tmp_path)) == read(tmp_path) == untimed(whole[1])


def test_resumed_with_two_workers(bare, tmp_path, monkeypatch):
  monkeypatch.setattr(evolution, 'make_executor', lambda workers: FakeExecutor())
  for kill_at in (4, 8, 11):
    with pytest.raises(Killed):
      run_killed(monkeypatch, tmp_path, kill_at)
  records = search(tmp_path, 12)
  assert sorted(r['index'] for r in stage(records, 'evolution')) == list(range(12))
  assert sorted(r['name'] for r in stage(records, 'reference')) == sorted(REFERENCES)
  assert len({r['name'] for r in stage(records, 'reranking')}) == len(stage(records, 'reranking')) == 5


def test_cut_at_any_byte_and_resumed(bare, whole, tmp_path):
  journal = (whole[0] / 'journal.jsonl').read_bytes()
  rng = random.Random(0)
  for cut in [0, 1, len(journal) - 1, len(journal), *(rng.randrange(len(journal)) for _ in range(25))]:
    (tmp_path / 'journal.jsonl').write_bytes(journal[:cut])
    search(tmp_path)
    assert read(tmp_path) == untimed(whole[1]), cut


def search_that_stays(model_dir):
  """What the killed process runs: a search that tells of its ninth evaluation and does not end it."""
  evaluate, numbers = FakeEvaluation.evaluate, itertools.count()

  def evaluate_or_stay(self, spec):
    if next(numbers) == 8:
      print('here', flush=True)
      time.sleep(600)
    return evaluate(self, spec)

  FakeEvaluation.evaluate = evaluate_or_stay
  search(model_dir)


@pytest.mark.slow
def test_killed_by_the_system_and_resumed(bare, whole, tmp_path):
  code = f'import runpy; runpy.run_path({__file__!r})["search_that_stays"]({str(tmp_path)!r})'
  child = subprocess.Popen([sys.executable, '-c', code], cwd=pathlib.Path(__file__).parents[2],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
  try:
    assert any('here' in line for line in child.stdout)
    with pytest.raises(ModelDirError, match='another process is running this search'):
      search(tmp_path)
  finally:
    child.kill()
    child.wait()
  assert len(read(tmp_path)) == 8 < len(whole[1])
  search(tmp_path)
  assert read(tmp_path) == untimed(whole[1])


def test_a_finished_search_does_nothing_more(whole, tmp_path, monkeypatch, capsys):
  (tmp_path / 'journal.jsonl').write_bytes((whole[0] / 'journal.jsonl').read_bytes())
  monkeypatch.setattr(FakeEvaluation, 'evaluate', None)
  assert search(tmp_path) == whole[1]
  assert 'Report: ' in capsys.readouterr().out and (tmp_path / 'report' / 'layer_1.json').exists()


def test_more_candidates_and_other_workers_later(bare, whole, tmp_path):
  longer = search(tmp_path / 'longer', 20)
  (tmp_path / 'journal.jsonl').write_bytes((whole[0] / 'journal.jsonl').read_bytes())
  records = search(tmp_path, 20)
  assert untimed(stage(records, 'evolution')) == untimed(stage(longer, 'evolution'))
  assert records[:len(whole[1])] == whole[1]
  reranked = [{r['name'] for r in stage(rs, 'reranking')} for rs in (records, longer)]
  assert reranked[0] >= reranked[1]


@pytest.mark.parametrize('options, key', [
    ({'seed': 2}, 'seed'), ({'window': 5}, 'window'), ({'space': SearchSpace(7)}, 'space.nodes'),
    ({'equivalents': 'reuse'}, 'equivalents'), ({'initial': 'known'}, 'initial.kind'),
    ({'references': ('bn_relu',)}, 'references'), ({'strategy': RandomSearch()}, 'strategy.class'),
    ({'evaluation': FakeEvaluation(FakeTask(8))}, 'evaluation.task.steps')])
def test_another_search_is_refused(bare, whole, options, key):
  before = (whole[0] / 'journal.jsonl').read_bytes()
  with pytest.raises(ModelDirError, match=f'belongs to a search of another configuration: .*`{key}` is '):
    search(whole[0], **options)
  assert (whole[0] / 'journal.jsonl').read_bytes() == before
