"""The search's own process is killed at random moments, twenty times: its journal is all that it needs.

The processes are forked from one that has imported everything, so that a start takes no seconds.
"""

import collections
import json
import multiprocessing
import os
import random
import signal
import time

import pytest

from tests.search import killed_search
from tests.search.killed_search import CANDIDATES
from tests.search.killed_search import REFERENCES

KILLS = 20
STARTED = multiprocessing.get_context('forkserver')
STARTED.set_forkserver_preload(['search.evolution', 'tests.search.killed_search'])
SECONDS = 400  # to wait for anything: where others use the cores, Ray alone takes minutes to start


def wait_until(condition):
  end = time.monotonic() + SECONDS
  while not condition() and time.monotonic() < end:
    time.sleep(.02)
  assert condition()


class Search:
  """A search in a folder, in one process after the other."""

  def __init__(self, executor, folder):
    self._executor, self._folder = executor, folder
    self._runs, self.journals = 0, []

  def journal(self):
    path = self._folder / 'journal.jsonl'
    return path.read_bytes() if path.exists() else b''

  def start(self):
    process = STARTED.Process(target=killed_search.run, args=(self._executor, self._folder, self._runs))
    process.start()
    self._runs += 1
    return process

  def run_until_killed(self, with_records, seconds):
    """Kills a run so many seconds after its start, or after its first record."""
    before, start, process = len(self.journal()), time.monotonic(), self.start()
    try:
      if with_records:
        wait_until(lambda: b'"stage"' in self.journal()[before:] or not process.is_alive())
      time.sleep(seconds)
    finally:
      process.kill()
      process.join()
    print(f'run {self._runs}: killed after {time.monotonic() - start:.1f} s, {len(self.journal()) - before} bytes more')
    assert process.exitcode == -signal.SIGKILL, 'the search has ended before'
    wait_until(lambda: not killed_search.descendants(self._folder, with_agents=False))
    self.journals.append(self.journal())

  def traces(self):
    """What each run has evaluated, in the order of their starts."""
    runs = [[] for _ in range(self._runs)]
    for line in (self._folder / 'traces').read_text().splitlines():
      run, _, text = line.partition(' ')
      runs[int(run)].append(text)
    return runs


def records_of(journal):
  """The records in whole lines of a journal."""
  lines = map(json.loads, journal.split(b'\n')[1:-1])
  return [line for line in lines if 'stage' in line]


def traced(record):
  """The trace that the evaluation of a record leaves."""
  purpose = 'reranking' if record['stage'] == 'reranking' else 'search'
  return f'{purpose} {record.get("seed", 0)} {json.dumps(record["graph"]) if record["graph"] else record["name"]}'


@pytest.mark.slow
@pytest.mark.parametrize('executor', ['this process', 'pool', 'Ray'])
def test_killed_at_twenty_random_moments(executor, tmp_path):
  rng = random.Random(executor)
  search = Search(executor, tmp_path)
  for kill in range(KILLS):
    search.run_until_killed(with_records=kill % 4 > 0, seconds=rng.uniform(0, .6))
  process = search.start()
  process.join()
  assert process.exitcode == 0 and not killed_search.descendants(tmp_path, with_agents=False)
  whole = search.journal()
  for journal in search.journals:  # append-only: what was there stays, but for a torn line
    assert whole.startswith(journal[:journal.rfind(b'\n') + 1])
  records = records_of(whole)
  evolution = [r['index'] for r in records if r['stage'] == 'evolution']
  assert sorted(evolution) == list(range(CANDIDATES))
  assert sorted(r['name'] for r in records if r['stage'] == 'reference') == sorted(REFERENCES)
  assert len({traced(r) for r in records}) == len(records)
  check_evaluations(search.traces(), search.journals, records)
  wait_until(lambda: not killed_search.descendants(tmp_path))


def check_evaluations(runs, journals, records):
  """Each run evaluates nothing twice, and nothing that was on record; all that is on record was evaluated."""
  at_a_time, recorded = [], set()
  for run, journal in zip(runs, [*journals, None]):
    assert max(collections.Counter(run).values(), default=0) <= 1
    assert not recorded & set(run)
    if journal is not None:
      recorded |= {traced(r) for r in records_of(journal)}
      at_a_time.append(len(set(run) - recorded))
  assert max(at_a_time) in (1, 2)  # in flight when a run was killed, and lost with it
  assert {traced(r) for r in records} <= set().union(*runs)


@pytest.mark.slow
@pytest.mark.parametrize('executor', ['pool', 'Ray'])
@pytest.mark.parametrize('end', [signal.SIGINT, signal.SIGTERM], ids=['Ctrl-C', 'SIGTERM'])
def test_workers_end_with_a_search_that_is_ended(executor, end, tmp_path):
  search = Search(executor, tmp_path)
  process = search.start()
  wait_until(lambda: search.journal().count(b'"stage"') > 2)
  assert killed_search.descendants(tmp_path)
  os.kill(process.pid, end)
  process.join()
  assert process.exitcode != 0
  wait_until(lambda: not killed_search.descendants(tmp_path))
