"""Numbers that compare searches, against hand-worked ones."""

import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from search.graphs.known_graphs import known_graph
from search.graphs.static_filter import static_rejection
from search.reporting import comparison
from search.selection.proposal import SEEN_BEFORE

SIGMOID = LayerGraph((Node('sigmoid', (0,)), Node('mul', (0, 4))))
TANH = LayerGraph((Node('tanh', (0,)), Node('mul', (0, 4))))


def test_core_seconds_add_up_in_the_order_of_completion(make_record):
  records = [make_record('reference', (.5,), name='bn_relu', seconds={'total': 100.}),
             make_record(seconds={'total': 2.}), make_record(),
             make_record(scores=(.3,), seconds={'build': 1., 'train': .5})]
  np.testing.assert_allclose(comparison.core_seconds(records), [2., 2., 3.5])


def test_what_the_cache_saved(make_record):
  evaluated = [make_record(index=0, seconds={'total': 2.}, filtered={SEEN_BEFORE: 3, 'constant': 5}),
               make_record(index=1, seconds={'total': 9.}, filtered={SEEN_BEFORE: 1}),
               make_record(index=2, seconds={'train': 1., 'build': 3.})]
  copies = [make_record(index=3, same_as=1), make_record(index=4, same_as=1)]
  taken_over = [make_record(index=5)]  # from another search, in no time
  assert comparison.saved_evaluations(evaluated) == 4 and comparison.saved_core_seconds(evaluated) == 4 * 4
  assert comparison.saved_evaluations(evaluated + copies) == 6
  assert comparison.saved_core_seconds(evaluated + copies + taken_over) == 6 * 4
  assert comparison.saved_evaluations(taken_over) == 0 and comparison.saved_core_seconds(taken_over) is None


def test_copies_and_projected_scores(make_record, stopped):
  records = [make_record(index=0, scores=(.2,), graph=SIGMOID, seconds={'total': 2.}),
             make_record(index=1, scores=(.2,), graph=SIGMOID, same_as=0),
             make_record(index=2, scores=(.5,), graph=TANH, rungs=stopped, seconds={'total': 1.}),
             make_record('reranking', (.6,), index=0), make_record('reranking', (.7,), index=2)]
  np.testing.assert_allclose(comparison.core_seconds(records), [2., 3.])
  assert comparison.survivors(records) == [SIGMOID, TANH]
  assert list(comparison.proxy_and_long_scores(records)) == ['candidate 0']
  assert comparison.counts_by_reason(records) == {
      comparison.COPIED: 1, 'rejected: quality': 0, 'rejected: stability': 0, 'failed': 0, 'accepted': 2}


@pytest.mark.parametrize('config, strategy, rejection', [
    ({'strategy': {'class': 'TournamentEvolution', 'winner': 'pareto_winner'}, 'evaluation': {'quality': {'steps': 1}}},
     'Pareto', 'quality'),
    ({'strategy': {'class': 'TournamentEvolution', 'winner': 'average_winner'},
      'evaluation': {'quality': {'steps': 1}, 'stability': {'steps': 1}}}, 'average', 'quality and stability'),
    ({'strategy': {'class': 'RandomSearch'}, 'evaluation': {'quality': None}}, 'random', 'none'),
    ({'strategy': 3}, 'unknown', 'none')])
def test_what_a_header_tells(config, strategy, rejection):
  assert (comparison.strategy_name(config), comparison.rejection_name(config)) == (strategy, rejection)


def test_settings_that_differ():
  configs = [{'a': 1, 'b': {'c': [1, 2], 'd': None}}, {'a': 1, 'b': {'c': [1, 3], 'd': None}, 'cache': True}]
  assert comparison.differing_settings(configs) == {'b.c': [[1, 2], [1, 3]], 'cache': [None, True]}


def test_rank_correlation():
  assert comparison.rank_correlation([(1, 10), (2, 30), (3, 20), (4, 40)]) == pytest.approx(.8)  # 1 − 6·2 / (4·15)
  assert comparison.rank_correlation([(1, 5), (2, 4), (9, -7)]) == pytest.approx(-1)
  assert comparison.rank_correlation([(1, 1), (1, 2), (2, 3)]) == pytest.approx(np.sqrt(3) / 2)  # ranks ½, ½, 2
  assert comparison.rank_correlation([(1, 1), (1, 2), (1, 3)]) is None
  assert comparison.rank_correlation([(1, 1), (2, 2)]) is None and comparison.rank_correlation([]) is None


def test_scores_of_what_passed_both(make_record):
  records = [make_record('reference', (.5, .7), name='bn_relu'), make_record(index=0, scores=(.2, .4)),
             make_record(index=1, scores=(.3, .3)), make_record('reranking', (.8, .9), name='bn_relu'),
             make_record('reranking', (.7, .8), index=0), make_record('reranking', index=1)]
  assert comparison.proxy_and_long_scores(records) == {
      'bn_relu': (pytest.approx(.6), pytest.approx(.85)), 'candidate 0': (pytest.approx(.3), pytest.approx(.75))}


def test_shares_of_live_nodes():
  dead = LayerGraph((Node('exp', (0,)), Node('first_moment', (0,), BATCH)))
  assert comparison.node_shares([SIGMOID, dead]) == {'sigmoid': .25, 'mul': .25, 'first_moment': .5, BATCH: .5}
  assert comparison.node_shares([]) == {}


def test_chance_follows_the_searchs_space_and_filter():
  graphs = comparison.chance_graphs({'space': {'class': 'SearchSpace', 'nodes': 4, 'index_sets': [GROUP]}}, count=30)
  assert len(graphs) == 30 and all(len(g.nodes) == 4 and static_rejection(g) is None for g in graphs)
  assert {node.axes for g in graphs for node in g.nodes} == {'', GROUP}
  for space in (3, {'nodes': 'x'}, {'index_sets': ['c']}):
    with pytest.raises(ValueError, match='`space`|`index_sets`|invalid literal'):
      comparison.chance_graphs({'space': space})


def test_ancestry(make_record):
  records = [make_record(index=0, scores=(.2, .2), graph=SIGMOID), make_record(index=1, scores=(.1, .1), parent=0),
             make_record(index=2, scores=(.5, .3), parent=0, graph=TANH), make_record(index=3, parent=2),
             make_record(index=4, scores=(.3, .4), parent=2, graph=known_graph('evonorm_s0'))]
  steps = comparison.ancestry(records, records[4])
  assert [s.record.index for s in steps] == [0, 2, 4]
  assert [s.mutation for s in steps] == ['', 'node 4: sigmoid(x) → tanh(x)', '2 → 5 nodes']
  assert [s.effect for s in steps] == [None, pytest.approx(.2), pytest.approx(-.05)]
  assert [[c.index for c in s.children] for s in steps] == [[1, 2], [3, 4], []]


def test_a_graph_that_is_mostly_new_is_described_by_its_equation(make_record):
  before = LayerGraph((Node('tanh', (0,)), Node('exp', (0,)), Node('neg', (0,)), Node('abs', (4,))))
  after = LayerGraph((Node('neg', (0,)), Node('abs', (0,)), Node('exp', (0,)), Node('sigmoid', (0,))))
  records = [make_record(index=0, scores=(.2,), graph=before),
             make_record(index=1, scores=(.3,), parent=0, graph=after)]
  assert comparison.ancestry(records, records[1])[1].mutation == 'y = σ(x) · γ + β'


def test_ancestry_ends_where_a_parent_is_not_on_record_or_met_again(make_record):
  records = [make_record(index=5, scores=(.2,), parent=99), make_record(index=6, scores=(.3,), parent=7),
             make_record(index=7, scores=(.4,), parent=6)]
  assert [s.record.index for s in comparison.ancestry(records, records[0])] == [5]
  assert [s.record.index for s in comparison.ancestry(records, records[1])] == [7, 6]


def test_counts_by_reason(make_record):
  records = [make_record(filtered={'constant': 3}, scores=(.5,)), make_record(filtered={'constant': 1, 'other': 2})]
  assert comparison.counts_by_reason(records) == {
      'filter: constant': 4, 'filter: other': 2, 'rejected: quality': 0, 'rejected: stability': 0, 'failed': 1,
      'accepted': 1}
