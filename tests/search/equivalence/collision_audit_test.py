"""The collision audit: it adds up, finds false merges where there are some, and takes rounding for what it is."""

import dataclasses

import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import GROUP
from search.equivalence import collision_audit
from search.equivalence.collision_audit import audit_table
from search.equivalence.collision_audit import differ_beyond_rounding
from search.equivalence.collision_audit import run_audit
from search.equivalence.equivalents import AFFINE
from search.equivalence.equivalents import Equivalents
from search.equivalence.equivalents import EXACT
from search.equivalence.equivalents import SAME_LAYER
from search.equivalence.equivalents import START
from search.equivalence.fingerprint import make_probes
from search.graphs.random_graph import SearchSpace


def graph(*nodes):
  return LayerGraph(tuple(Node(*node) for node in nodes))


@pytest.mark.parametrize('is_filtered, same_layer', [
    (True, AFFINE), pytest.param(True, EXACT, marks=pytest.mark.slow),
    pytest.param(False, EXACT, marks=pytest.mark.slow), (True, START)])
def test_no_merge_is_false(is_filtered, same_layer):
  audit = run_audit(300, SearchSpace(), seed=3, is_filtered=is_filtered, same_layer=same_layer)
  assert not audit.false_merges and audit.graphs == 300
  assert audit.identical and audit.same_form and audit.same_fingerprint
  assert 30 < audit.classes == 300 - audit.identical - audit.same_form - audit.same_fingerprint
  assert audit.draws == 300 if not is_filtered else audit.draws > 1000
  again = run_audit(300, SearchSpace(), seed=3, is_filtered=is_filtered, same_layer=same_layer)
  assert dataclasses.replace(again, seconds=0) == dataclasses.replace(audit, seconds=0)


@pytest.mark.parametrize('same_layer', SAME_LAYER)
def test_false_merges_are_found(monkeypatch, same_layer):
  monkeypatch.setattr(Equivalents, '_look_up', lambda self, found: next(iter(self._keys.values()), None))
  audit = run_audit(60, SearchSpace(4), seed=0, same_layer=same_layer)
  assert audit.classes == 1 and len(audit.false_merges) == audit.same_fingerprint - audit.rounding > 5
  assert all(a != b for a, b in audit.false_merges)


def test_rounding_is_no_difference():
  probes = make_probes(1)
  # v1² is the same in each group, so that its deviation is √ε, but for rounding whose derivative is not quite 0.
  rounded = graph(('square', (3,)), ('second_moment', (4,), GROUP), ('centered_second_moment', (5,), GROUP),
                  ('max', (6, 0)))
  assert not differ_beyond_rounding(rounded, graph(('centered_second_moment', (1,), GROUP), ('max', (4, 0))), probes)
  assert differ_beyond_rounding(graph(('square', (0,)), ('sqrt', (4,))), graph(('abs', (0,))), probes)
  assert not differ_beyond_rounding(graph(('abs', (0,))), graph(('abs', (0,))), probes)
  # The derivative of such a deviation of huge values is an error divided by an error, in whatever precision.
  huge = (('exp', (0,)), ('first_moment', (4,), GROUP), ('centered_second_moment', (5,), GROUP), ('add', (4, 6)))
  exact = (('exp', (0,)), ('centered_second_moment', (1,), GROUP), ('add', (4, 5)))
  assert not differ_beyond_rounding(graph(*huge), graph(*exact), make_probes([0, 1], collision_audit._SETTINGS))


def test_the_table_names_the_figures(monkeypatch):
  audit = collision_audit.Audit(draws=12345, graphs=100, identical=40, same_form=7, same_fingerprint=8, seconds=.5)
  cells = dict(zip(*(column.cells for column in audit_table(audit).columns)))
  assert cells['random graphs drawn'] == '12,345' and cells['distinct layers'] == '45'
  assert cells['pairs on fresh inputs'] == '15' and cells['false merges'] == '0'
  assert cells['found or added, a second'] == '120'


def test_a_number_of_graphs_that_cannot_work():
  with pytest.raises(ValueError, match='`graphs` must be at least 1, received 0'):
    run_audit(0)
