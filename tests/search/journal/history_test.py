"""Views of a growing history: each record is added once, and a tally is what a count of all records gives."""

import random
import statistics

import pytest

from search.journal import records as records_lib
from search.journal import tally
from search.journal.history import History
from search.journal.history import view
from search.journal.tally import Tally


class Counting:
  """A view that counts what it receives."""
  added = 0

  def __init__(self):
    self.seen = []

  def add(self, record):
    Counting.added += 1
    self.seen.append(record)


def test_a_view_receives_each_record_once_however_often_it_is_asked(make_record):
  Counting.added = 0
  history = History([make_record(index=0)])
  for number in range(1, 200):
    for _ in range(3):
      assert len(view(history, Counting).seen) == number
    history.append(make_record(index=number))
  assert Counting.added == 199 and view(history, Counting).seen == list(history)[:199] + [history[199]]
  assert len(view(list(history), Counting).seen) == 200  # another sequence has a view of its own


@pytest.fixture
def records(make_record):
  """Three hundred records of all kinds, at random."""
  rng, made = random.Random(0), [make_record('reference', (.5, .25), name='bn_relu')]
  for index in range(300):
    scores = tuple(rng.choice([.25, .5, .625, .75]) for _ in range(2)) if rng.random() < .4 else ()
    outcome = None if scores else rng.choice(['failed', 'rejected: quality', 'rejected: stability'])
    filtered = {reason: rng.randrange(4) for reason in ('constant', 'not finite')}
    made.append(make_record(index=index, scores=scores, outcome=outcome, filtered=filtered, elapsed=2. * index))
    if rng.random() < .1:
      made.append(make_record(index=1000 + index, scores=scores, outcome=outcome, same_as=index, elapsed=2. * index))
  return made


def test_a_tally_is_what_a_count_of_all_records_gives(records):
  history = History()
  for number, record in enumerate(records, 1):
    history.append(record)
    if number % 37 and number < len(records):
      continue
    seen = records[:number]
    evaluated = [r for r in seen if r.stage == 'evolution' and r.same_as is None]
    means = [statistics.fmean(r.scores.values()) for r in evaluated if r.scores]
    counted = history.view(Tally)
    assert counted.evaluated == len(evaluated) and counted.copies == number - 1 - len(evaluated)
    assert counted.outcomes == {o: sum(r.outcome == o for r in evaluated) for o in {r.outcome for r in evaluated}}
    assert sorted(counted.top) == sorted(means)[-tally.TOP:] and list(counted.recent) == means[-tally.RECENT:]
    best = max(means, default=None)
    assert (counted.best and counted.best.mean_score) == best
    assert counted.best is None or counted.best == next(
        r for r in evaluated if r.scores and statistics.fmean(r.scores.values()) == best)
    proposed = [r for r in seen if r.stage == 'evolution']
    filtered = sum(sum(r.filtered.values()) for r in proposed)
    assert records_lib.filtered_share(history) == pytest.approx(filtered / max(filtered + len(proposed), 1))
    times = [r.elapsed for r in evaluated][-tally.RECENT - 1:]
    rate = 60 * (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else None
    assert records_lib.candidates_a_minute(history) == (None if rate is None else pytest.approx(rate))
