"""Ctrl-C in a search: what it has spoilt is not recorded, also where Python drops its exception."""

import pytest

from search.evaluation import Outcome
from search.journal import Journal
from tests.lost_interrupts import DROPS
from tests.lost_interrupts import in_finalizer
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import read
from tests.search.fake_search import search
from tests.search.fake_search import untimed

pytestmark = pytest.mark.usefixtures('ctrl_c_raises')


def interrupt_evaluation(monkeypatch, number, interrupt):
  """Lets `interrupt` come in an evaluation, which then ends as a failure."""
  count, evaluate = [], FakeEvaluation.evaluate

  def evaluate_interrupted(self, spec):
    count.append(spec)
    if len(count) != number:
      return evaluate(self, spec)
    interrupt()
    return Outcome('failed', 'SystemError: returned a result with an exception set')

  monkeypatch.setattr(FakeEvaluation, 'evaluate', evaluate_interrupted)


@DROPS
@pytest.mark.parametrize('number', (1, 5, 16))
def test_a_search_ends_before_it_records_what_was_interrupted(bare, whole, tmp_path, monkeypatch, drop, number):
  with monkeypatch.context() as patch:
    interrupt_evaluation(patch, number, drop)
    with pytest.raises(KeyboardInterrupt):
      search(tmp_path)
  assert read(tmp_path) == untimed(whole[1])[:number - 1]
  assert untimed(search(tmp_path)) == untimed(whole[1])


def test_a_search_begins_nothing_after_one_between_two_evaluations(bare, tmp_path, monkeypatch):
  append = Journal.append

  def append_and_drop(self, record):
    append(self, record)
    if len(self.records) == 7:
      in_finalizer()
      monkeypatch.setattr(FakeEvaluation, 'evaluate', None)

  monkeypatch.setattr(Journal, 'append', append_and_drop)
  with pytest.raises(KeyboardInterrupt):
    search(tmp_path)
  assert len(read(tmp_path)) == 7
