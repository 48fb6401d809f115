"""Successive halving: bars and gains worked out by hand, what goes on, what a stopped candidate is worth, a search."""

import dataclasses

import pytest

from search.evaluation.successive_halving import Bar
from search.evaluation.successive_halving import SuccessiveHalving
from search.evolution import Reranking
from search.graphs.known_graphs import known_graph
from search.journal import records as records_lib
from search.journal.record import Record
from search.journal.saved_search import load_search
from tests.search import fake_search


@dataclasses.dataclass(frozen=True)
class HalvingEvaluation(fake_search.FakeEvaluation):
  """The fake evaluation with one rung, where accuracies are half of those at the end."""
  halving: SuccessiveHalving = SuccessiveHalving((3,), eta=2)
  bars: tuple[Bar, ...] = (Bar(),)

  def informed_by(self, records):
    return dataclasses.replace(self, bars=self.halving.bars(records))

  def evaluate(self, spec):
    outcome = super().evaluate(spec)
    if outcome.scores:
      accuracies, bar = {name: score / 2 for name, score in outcome.scores.items()}, self.bars[0]
      stopped = not bar.is_reached(accuracies)
      outcome.rungs = [{'steps': 3, 'accuracies': accuracies, 'bar': bar.score, 'stopped': stopped}]
      outcome.scores = bar.projected(accuracies) if stopped else outcome.scores
    return outcome


def record(*rungs, scores=None, stage='evolution', stopped=False):
  """A record of the rungs' accuracies in two architectures; the last rung may have stopped it."""
  rungs = [{'accuracies': {'a': a, 'b': b}, 'stopped': stopped and i == len(rungs) - 1}
           for i, (a, b) in enumerate(rungs)]
  return Record(stage=stage, outcome='accepted' if scores else 'failed', index=0, graph=known_graph('evonorm_s0'),
                scores={'a': scores[0], 'b': scores[1]} if scores else {}, rungs=rungs)


RECORDS = [
    record((.1, .3), (.3, .5), scores=(.4, .7)),
    record((.2, .4), (.4, .4), scores=(.6, .6)),
    record((.1, .1), scores=(.3, .3), stopped=True),
    record((.5, .1), (.3, .1), scores=(.4, .2), stopped=True),
    record((.9, .9), (.9, .9)),  # failed behind its second rung
    record((.9, .9), scores=(1., 1.), stage='reranking'),
]


def test_bars_by_hand():
  halving = SuccessiveHalving((10, 20), eta=2)
  first, second = halving.bars(RECORDS)
  # Means of the first rung: .3 .3 .2 .1, of which two are on; of the second .4 .4 .2, of which one is.
  assert first.score == pytest.approx(.3) and second.score == pytest.approx(.4)
  assert first.gains == {'a': pytest.approx((.3 + .4) / 2), 'b': pytest.approx((.4 + .2) / 2)}
  assert second.gains == {'a': pytest.approx((.1 + .2) / 2), 'b': pytest.approx((.2 + .2) / 2)}


def test_only_what_is_on_record_sets_a_bar():
  assert SuccessiveHalving((10, 20), eta=5).bars(RECORDS)[0].score is None
  assert SuccessiveHalving((10, 20), eta=4).bars(RECORDS)[0].score == pytest.approx(.3)
  assert SuccessiveHalving((10,)).bars([]) == (Bar(),)
  without_rungs = dataclasses.replace(RECORDS[0], rungs=None)
  assert SuccessiveHalving((10,)).bars([without_rungs] * 9) == (Bar(),)


def test_one_in_eta_goes_on():
  halving, records, on = SuccessiveHalving((10,), eta=4), [], 0
  accuracies = [((i * 37) % 101) / 101 for i in range(100)]
  for accuracy in accuracies:
    bar, = halving.bars(records)
    better = sum(a > accuracy for a in accuracies[:len(records)])
    goes_on = bar.is_reached({'a': accuracy, 'b': accuracy})
    assert goes_on == (len(records) < 4 or better < len(records) // 4)
    records.append(record((accuracy, accuracy), scores=(accuracy, accuracy), stopped=not goes_on))
    on += goes_on
  assert 20 <= on <= 35


def test_a_stopped_candidate_gets_the_gain_of_others():
  bar = Bar(.4, {'a': .1, 'b': .3})
  assert bar.is_reached({'a': .3, 'b': .5}) and not bar.is_reached({'a': .3, 'b': .49})
  assert bar.projected({'a': .2, 'b': .1}) == {'a': pytest.approx(.3), 'b': pytest.approx(.4)}
  assert bar.projected({'a': .2, 'b': .8})['b'] == 1. and Bar(.4).projected({'a': .2}) == {'a': .2}
  assert Bar().is_reached({'a': 0.})


def test_complete_records():
  assert [r.is_complete for r in RECORDS] == [True, True, False, False, True, True]
  assert dataclasses.replace(RECORDS[2], rungs=None).is_complete


def test_the_journal_tells_every_bar_and_a_search_resumes(tmp_path, bare):
  evaluation = HalvingEvaluation()
  options = dict(evaluation=evaluation, reranking=Reranking(evaluation, top=30))
  fake_search.search(tmp_path / 'whole', 30, **options)
  whole = load_search(tmp_path / 'whole').records
  evolution = records_lib.of_stage(whole, 'evolution')
  for i, r in enumerate(evolution):
    if r.rungs:
      bar, = evaluation.halving.bars(evolution[:i])
      assert r.rungs[0]['bar'] == bar.score
      if r.rungs[0]['stopped']:
        assert r.scores == bar.projected(r.rungs[0]['accuracies'])
  complete = [r.is_complete for r in evolution if r.scores]
  assert any(complete) and not all(complete) and len(records_lib.candidates(whole)) == len(complete)
  assert all(r.is_complete for r in whole if r.stage != 'evolution')
  reranked = {r.index for r in records_lib.of_stage(whole, 'reranking') if r.graph}
  assert reranked == {r.index for r in evolution if r.scores and r.is_complete}
  journal = (tmp_path / 'whole' / 'journal.jsonl').read_text().splitlines(keepends=True)
  (tmp_path / 'torn').mkdir()
  (tmp_path / 'torn' / 'journal.jsonl').write_text(''.join(journal[:17]))
  fake_search.search(tmp_path / 'torn', 30, **options)
  assert fake_search.read(tmp_path / 'torn') == fake_search.read(tmp_path / 'whole')


def test_errors():
  for rungs in ((), (5, 5), (7, 5), (0, 5)):
    with pytest.raises(ValueError, match='`rungs` must be increasing positive numbers of steps'):
      SuccessiveHalving(rungs)
  with pytest.raises(ValueError, match='`eta` must be greater than 1, received 1'):
    SuccessiveHalving((5,), eta=1)
