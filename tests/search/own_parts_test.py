"""Evaluations and strategies of a user in a search: what they may return, and what is refused before it is written."""

import dataclasses

import numpy as np
import pytest

from evonorm_tf.errors import ArgumentError
from search.graphs.random_graph import random_graph
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import read
from tests.search.fake_search import search
from tests.search.fake_search import stage
from tests.search.fake_search import untimed


@dataclasses.dataclass(frozen=True)
class OwnEvaluation(FakeEvaluation):
  """An evaluation of a user, whose outcomes are changed by a function."""
  change: object = None

  def evaluate(self, spec):
    outcome = super().evaluate(spec)
    self.change(outcome)
    return outcome


def test_numbers_of_numpy_are_written_as_numbers(bare, tmp_path):
  def change(outcome):
    outcome.scores = {name: np.float32(score) for name, score in outcome.scores.items()}
    outcome.seconds = {}

  evaluation = OwnEvaluation(change=change)
  records = search(tmp_path, evaluation=evaluation)
  assert untimed(search(tmp_path, evaluation=evaluation)) == untimed(records)  # it can be read again
  assert all(r['seconds'].keys() == {'total'} for r in stage(records, 'evolution'))


CHANGES = {
    'outcome': lambda o: setattr(o, 'outcome', 'rejected: slow'),
    'scores must be of': lambda o: o.scores.pop('resnet') if o.scores else o.__dict__.update(
        outcome='accepted', scores={'mobilenet_v2': .5}),
    'object is no number': lambda o: setattr(o, 'gradient_norm', object())}
LATER = []  # the changes of the outcomes to come, in reverse


def change_later(outcome):
  if LATER:
    (LATER.pop() or (lambda outcome: None))(outcome)


@pytest.mark.parametrize('message', CHANGES)
def test_an_outcome_that_no_journal_can_hold_is_refused_before_it_is_written(bare, tmp_path, message):
  LATER[:] = [CHANGES[message], *[None] * 7]
  evaluation = OwnEvaluation(change=change_later)
  with pytest.raises(ArgumentError, match=f'the evaluation of candidate 5 returned .* cannot hold: .*{message}'):
    search(tmp_path, evaluation=evaluation)
  assert len(read(tmp_path)) == 7 and len(search(tmp_path, evaluation=evaluation)) == 19


@dataclasses.dataclass(frozen=True)
class Walk:
  """A strategy that mutates its own last graph, and names it as the parent, accepted or not."""

  def draw(self, space, population, candidates, rng):
    return random_graph(space, rng), candidates - 1 if candidates else None


def test_a_parent_that_was_not_accepted_is_refused_before_it_is_written(bare, tmp_path):
  with pytest.raises(ArgumentError, match='`draw` of Walk must return the number of an accepted candidate .* received'):
    search(tmp_path, strategy=Walk())
  accepted = [r['outcome'] == 'accepted' for r in stage(read(tmp_path), 'evolution')]
  assert accepted and not accepted[-1] and all(accepted[:-1])  # it ends after the first that was not


def test_scores_that_come_in_another_order_are_of_the_same_networks(bare, tmp_path):
  def turned(outcome):
    outcome.__dict__['scores'] = dict(reversed(outcome.scores.items()))

  evaluation = OwnEvaluation(change=change_later)
  expected = search(tmp_path / 'straight', evaluation=evaluation)
  LATER[:] = [turned, None] * 20
  records = search(tmp_path / 'turned', evaluation=evaluation)
  LATER.clear()
  drawn = lambda rs: [(r['graph'], r['parent']) for r in stage(rs, 'evolution')]
  assert any(list(r['scores']) == ['mobilenet_v2', 'resnet'] for r in records) and drawn(records) == drawn(expected)
