"""Searches of a study, with a shell script in the search's place: kept compressed, resumed from what was kept."""

import dataclasses
import gzip
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from benchmarks.measuring import search_runs
from benchmarks.measuring.search_runs import SearchStudy

REAL_PYTHON, ROOT = sys.executable, pathlib.Path(__file__).parents[2]
CANDIDATES = 'evolution.run_search.candidates = 2'
GIN = f"""from __gin__ import dynamic_registration
from search import evolution
include '{ROOT}/gin/search/smoke.gin'
"""
FOLDER = 'for a; do case $a in --model_dir=*) folder=${a#--model_dir=};; esac; done\n'


@pytest.fixture
def study(tmp_path, monkeypatch):
  """Returns a function that returns a study whose searches are the script's lines, which know `$folder`."""
  def make(script):
    path = tmp_path / 'python'
    path.write_text(f'#!/bin/sh\n{FOLDER}{script}\n')
    path.chmod(0o755)
    monkeypatch.setattr(search_runs.sys, 'executable', str(path))
    (tmp_path / 'a.gin').write_text(GIN)
    monkeypatch.chdir(tmp_path)
    settings = {'one': (), 'other': ('evolution.run_search.window = 1',)}
    return SearchStudy(tmp_path / 'study', 'a.gin', settings, (CANDIDATES,))
  return make


def names(study):
  return sorted(path.name for path in study.folder.iterdir() if path.name != 'studies.json')


def test_only_the_compressed_journal_stays_and_is_not_made_again(study):
  some = study('echo "$@" >> $folder/journal.jsonl')
  some.run('other', 3)
  assert names(some) == ['setting_1_seed_3.jsonl.gz']
  arguments = gzip.decompress((some.folder / 'setting_1_seed_3.jsonl.gz').read_bytes()).decode()
  assert arguments.split()[:3] == ['-m', 'search.run_search', '--gin_file=a.gin']
  for binding in ('evolution.run_search.seed = 3', 'evolution.run_search.window = 1', CANDIDATES):
    assert f'--gin_bindings={binding}' in arguments
  study('exit 1').run('other', 3)


def test_what_was_kept_of_a_search_that_broke_off_is_its_beginning(study, monkeypatch):
  monkeypatch.setattr(search_runs, '_KEEP_EVERY', .05)
  wait = 'while [ ! -e $folder.partial.jsonl.gz ]; do sleep .02; done'
  broken = study(f'echo first > $folder/journal.jsonl; {wait}; exit 3')
  with pytest.raises(subprocess.CalledProcessError, match='exit status 3'):
    broken.run('one', 0)
  (broken.folder / 'setting_0_seed_0' / 'journal.jsonl').unlink()
  (broken.folder / 'setting_0_seed_0').rmdir()
  assert names(broken) == ['setting_0_seed_0.partial.jsonl.gz']
  monkeypatch.setattr(search_runs, '_KEEP_EVERY', 60)
  study('echo second >> $folder/journal.jsonl').run('one', 0)
  assert names(broken) == ['setting_0_seed_0.jsonl.gz']
  assert gzip.decompress((broken.folder / 'setting_0_seed_0.jsonl.gz').read_bytes()) == b'first\nsecond\n'


def test_another_configuration_is_refused(study, tmp_path):
  study('echo a > $folder/journal.jsonl').run('one', 0)
  for change in ('bindings', 'gin file'):
    some = study('exit 1')
    if change == 'bindings':
      some = dataclasses.replace(some, bindings=('evolution.run_search.candidates = 3',))
    else:
      (tmp_path / 'a.gin').write_text(f'{GIN}evolution.run_search.window = 4\n')
    with pytest.raises(SystemExit, match='setting_0_seed_0 was begun with .*candidates = 2'):
      some.run('one', 0)
  study('echo a > $folder/journal.jsonl').run('one', 1)  # with the file as it is now


def test_a_configuration_without_results_may_be_corrected(study, tmp_path):
  study('exit 1')
  arguments = tmp_path / 'study', 'a.csv', 'a.gin'
  search_runs.note_configuration(*arguments, (CANDIDATES,), has_results=False, seed=0)
  search_runs.note_configuration(*arguments, has_results=False, seed=1)
  search_runs.note_configuration(*arguments, seed=1)
  for bindings, seed in ((), 0), ((CANDIDATES,), 1):
    with pytest.raises(SystemExit, match="a.csv was begun with .*'seed': 1"):
      search_runs.note_configuration(*arguments, bindings, seed=seed)


def test_comments_and_the_place_of_the_data_may_change(study, tmp_path):
  folders = tuple(f"proxy_task.ProxyTask.data_dir = '{folder}'" for folder in 'ab')
  some = dataclasses.replace(study('echo a > $folder/journal.jsonl'), bindings=folders[:1])
  some.run('one', 0)
  (tmp_path / 'a.gin').write_text(f'# A comment.\n{GIN}')
  moved = dataclasses.replace(some, bindings=folders[1:])
  moved.run('one', 0)
  assert names(moved) == ['setting_0_seed_0.jsonl.gz'] and '(a folder)' in (some.folder / 'studies.json').read_text()
  with pytest.raises(SystemExit, match='setting_0_seed_0 was begun with'):
    dataclasses.replace(some, bindings=('proxy_task.ProxyTask.data_dir = None',)).run('one', 0)


def test_the_studies_in_this_repository_still_have_the_configuration_of_their_gin_file():
  for path in ROOT.glob('results/*/studies.json'):
    for name, noted in json.loads(path.read_text()).items():
      bindings = [binding.replace('(a folder)', "'anywhere'") for binding in noted['bindings']]
      assert search_runs._checksum(str(ROOT / noted['gin_file']), bindings) == noted['configuration'], (path, name)


def test_a_search_ends_with_its_study(study, tmp_path):
  some = study(f'echo $$ > {tmp_path}/pid; sleep 60')
  code = ('import pathlib, sys\nfrom benchmarks.measuring import search_runs\n'
          'search_runs._checksum = lambda *_: ""\n'  # without TensorFlow
          f'study = search_runs.SearchStudy(pathlib.Path({str(some.folder)!r}), "a.gin", {{"one": ()}})\n'
          f'executable, sys.executable = sys.executable, {str(tmp_path / "python")!r}\nstudy.run("one", 0)')
  process = subprocess.Popen([REAL_PYTHON, '-c', code], cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(ROOT)})
  pid = tmp_path / 'pid'
  for _ in range(600):
    if pid.exists() and pid.read_text():
      break
    time.sleep(.1)
  process.terminate()
  assert process.wait(30) == 143
  assert not pathlib.Path(f'/proc/{pid.read_text().strip()}').exists()
