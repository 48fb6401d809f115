"""Views of records, against hand-worked numbers."""

import dataclasses

import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.graphs.known_graphs import known_graph
from search.journal import records as records_lib
from search.journal.candidate import Candidate
from search.selection.proposal import SEEN_BEFORE


def test_candidates_are_the_accepted_ones_in_order_of_completion(make_record):
  graph = known_graph('bn_relu')
  records = [
      make_record('reference', (.9, .8), name='bn_relu'),
      make_record(index=2, scores=(.3, .5), graph=graph, cost={'step_time': 1.5, 'kept': 2.}),
      make_record(index=0, outcome='rejected: quality'),
      dataclasses.replace(make_record(index=1, scores=(.2, .1)), scores={'mobilenet_v2': .1, 'resnet': .2}),
      make_record('reranking', (.7, .7), index=2)]
  assert records_lib.candidates(records) == [
      Candidate(2, graph, (.3, .5), 1.5), Candidate(1, known_graph('evonorm_s0'), (.2, .1))]
  assert records_lib.architectures(records) == ['resnet', 'mobilenet_v2']


def test_best_is_the_first_of_equals(make_record):
  records = [make_record(index=i, scores=s) for i, s in enumerate([(.7, .0), (.3, .5), (.5, .3), ()])]
  assert records_lib.best(records) is records[1]
  assert records_lib.best(records[3:]) is None


def test_finalists_are_the_best_one_of_each_function(make_record):
  s0, b0, s1, s2 = (known_graph(f'evonorm_{name}') for name in ('s0', 'b0', 's1', 's2'))
  records = [
      make_record(index=4, scores=(.5, .5), graph=s0, gradient_norm=3.),  # of the same equation as 3
      make_record(index=3, scores=(.6, .6), graph=s0, gradient_norm=2.),
      make_record(index=2, scores=(.5, .7), graph=b0, gradient_norm=2.),  # as good as 3, and before it
      make_record(index=5, scores=(.5, .7), graph=s1, gradient_norm=2.),  # trains like 2
      make_record(index=6, scores=(.5, .7), graph=s2, gradient_norm=4.),
      make_record(index=7, scores=(.1, .1), graph=known_graph('bn_relu')),
      make_record(index=8), make_record('reference', (.9, .9), name='gn_relu')]
  assert [r.index for r in records_lib.finalists(records, 3)] == [2, 3, 6]
  assert [r.index for r in records_lib.finalists(records, 9)] == [2, 3, 6, 7]


def test_finalists_differ_where_training_begins(make_record):
  x, v0 = 0, 2
  tanh = LayerGraph((Node('tanh', (x,)),))
  scaled = LayerGraph((Node('exp', (v0,)), Node('tanh', (x,)), Node('div', (5, 4))))  # tanh(x) / exp(v0)
  records = [make_record(index=i, scores=(.6 - .1 * i,), graph=graph, gradient_norm=1. + i)
             for i, graph in enumerate((tanh, scaled, known_graph('evonorm_b0')))]
  assert [r.index for r in records_lib.finalists(records, 2)] == [0, 1]
  assert [r.index for r in records_lib.finalists(records, 2, min_difference=.1)] == [0, 2]
  assert [r.index for r in records_lib.finalists(records, 3, min_difference=.99)] == [0]


def test_candidates_without_a_gradient_norm_are_told_apart_by_their_equations(make_record):
  records = [make_record(index=i, scores=(.5,), graph=known_graph(f'evonorm_{name}'), gradient_norm=None)
             for i, name in enumerate(['s0', 'b0', 's0'])]
  assert [r.index for r in records_lib.finalists(records, 3)] == [0, 1]


def test_top_mean_leaves_out_what_is_below_the_top(make_record):
  records = [make_record(scores=(s / 20,)) for s in range(1, 13)]  # the ten best: 3/20 to 12/20
  assert records_lib.top_mean(records) == pytest.approx(7.5 / 20)
  assert records_lib.top_mean(records[:10]) == pytest.approx(5.5 / 20) and records_lib.top_mean(records[:9]) is None
  assert records_lib.top_mean([make_record('reference', (.9,), name='bn_relu')]) is None


def test_names_and_graphs(make_record):
  names = [make_record(index=3), make_record('reference', name='evonorm_b0'), make_record('reference', name='frn_tlu')]
  assert [r.name for r in names] == ['candidate 3', 'evonorm_b0', 'frn_tlu']
  assert [r.layer_graph for r in names] == [known_graph('evonorm_s0'), known_graph('evonorm_b0'), None]


def test_counts_of_outcomes_and_filtered_draws(make_record):
  records = [make_record('reference', (.9,), name='bn_relu'), make_record(scores=(.5,), filtered={'b': 1, 'a': 3}),
             make_record(outcome='failed', filtered={'b': 4})]
  assert list(records_lib.counts_by_outcome(records).values()) == [1, 0, 0, 1]
  assert list(records_lib.counts_by_filter(records).items()) == [('b', 5), ('a', 3)]
  assert records_lib.filtered_share(records) == .8
  assert records_lib.filtered_share([]) == 0


def test_rate_of_the_last_candidates(make_record):
  elapsed = [100, 160, *range(170, 370, 10)]  # 60 s, then 10 s each, 20 times
  records = [make_record('reference', name='bn_relu', elapsed=50)] + [make_record(elapsed=e) for e in elapsed]
  assert records_lib.candidates_a_minute(records) == 6
  assert records_lib.candidates_a_minute(records[:5]) == pytest.approx(60 * 3 / 80)
  assert records_lib.candidates_a_minute(records[:2]) is None


def test_projected_scores_count_in_tournaments_alone(make_record, stopped):
  b0, bn = known_graph('evonorm_b0'), known_graph('bn_relu')
  records = [make_record(index=0, scores=(.9,), rungs=stopped), make_record(index=1, scores=(.3,), graph=b0, rungs=[]),
             make_record(index=2, scores=(.5,), graph=bn, rungs=[stopped[0] | {'stopped': False}]),
             make_record(index=3, scores=(.9,), rungs=stopped, same_as=0)]
  assert [c.index for c in records_lib.candidates(records)] == [0, 1, 2, 3]
  assert [r.index for r in records_lib.measured(records)] == [1, 2]
  assert records_lib.best(records) is records[2]
  assert [r.index for r in records_lib.finalists(records, 3)] == [2, 1]
  assert records_lib.stopped(records) == records[:1] and records_lib.counts_by_outcome(records)['accepted'] == 3
  assert records_lib.best(records[:1]) is None


def test_a_copy_is_a_draw_but_no_evaluation(make_record):
  records = [make_record(index=0, elapsed=0., filtered={'a': 2}), make_record(index=1, elapsed=1., same_as=0),
             make_record(index=2, elapsed=30.), make_record(index=3, elapsed=31., same_as=0)]
  assert records_lib.copies(records) == [records[1], records[3]]
  assert records_lib.candidates_a_minute(records) == 2
  assert records_lib.filtered_share(records) == pytest.approx(2 / 6)


def test_copies_count_as_nothing_but_members(make_record):
  records = [make_record(index=0, scores=(.5,)), make_record(index=1, scores=(.5,), same_as=0),
             make_record(index=2, outcome='failed'), make_record(index=3, outcome='failed', same_as=2),
             make_record(index=4, scores=(.3,), graph=known_graph('bn_relu'))]
  assert [r.index for r in records_lib.evaluated(records)] == [0, 2, 4]
  assert [c.index for c in records_lib.candidates(records)] == [0, 1, 4]
  assert records_lib.top_mean(records * 5) == pytest.approx(.4)  # of 15 and 10 scores, without those of copies
  assert list(records_lib.counts_by_outcome(records).values()) == [2, 0, 0, 1]
  assert [r.index for r in records_lib.finalists(records, 3)] == [0, 4]
  assert [r.index for r in records_lib.finalists(records, 1)] == [0] and records_lib.finalists(records, 0) == []


def test_reasons_of_older_journals_count_under_their_present_names(make_record):
  names = 'same function as an earlier candidate', 'same layer as an earlier candidate'
  records = [make_record(index=i, filtered={name: 2, 'constant': 1}) for i, name in enumerate(names)]
  assert records_lib.counts_by_filter(records) == {SEEN_BEFORE: 4, 'constant': 2}
