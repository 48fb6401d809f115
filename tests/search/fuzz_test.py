"""Mutated files of layer graphs and journals give an error that names the file, or something valid; nothing else.

The quick tests take 250 files of each kind, the slow ones 10,000.
"""

import json
import logging
import pathlib
import tempfile

from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import LayerGraphError
from evonorm_tf.output.model_dir import ModelDirError
from search.evaluation.successive_halving import SuccessiveHalving
from search.graphs.equation import equation_text
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.journal import records as records_lib
from search.journal.journal import Journal
from search.journal.saved_search import load_search
from search.reporting import comparison
from search.reporting import ranked_layers
from tests.search.mutated_files import damaged_bytes
from tests.search.mutated_files import structures

CONFIG = {'seed': 0, 'evaluation': {'class': 'Evaluation', 'quality': None}, 'references': ['bn_relu']}
GRAPHS = [known_graph(name).to_dict() for name in KNOWN_GRAPHS]
OPTIONS = {'deadline': None, 'suppress_health_check': list(HealthCheck)}
FEW, MANY = settings(max_examples=250, derandomize=True, **OPTIONS), settings(max_examples=10_000, **OPTIONS)


def record(stage, **fields):
  scores = {'resnet': .5, 'mobilenet_v2': .25}
  return {'stage': stage, **fields, 'outcome': 'accepted', 'detail': '', 'screening': scores, 'gradient_norm': 2.5,
          'scores': scores, 'test_scores': {}, 'seconds': {'total': 1.5}, 'elapsed': 3.}


RECORDS = [
    record('reference', name='bn_relu', index=None, graph=None),
    record('evolution', index=0, parent=None, graph=GRAPHS[4], filtered={'constant': 3}),
    {**record('evolution', index=1, parent=0, graph=GRAPHS[5], filtered={}), 'outcome': 'failed', 'scores': {}},
    record('evolution', index=2, parent=0, graph=GRAPHS[7], filtered={},
           rungs=[{'steps': 3, 'accuracies': {'resnet': .4, 'mobilenet_v2': .2}, 'bar': None, 'stopped': False}]),
    record('evolution', index=3, parent=None, graph=GRAPHS[8], filtered={}, origin='evonorm_s1',
           rungs=[{'steps': 3, 'accuracies': {'resnet': .4, 'mobilenet_v2': .2}, 'bar': .35, 'stopped': True}]),
    record('evolution', index=4, parent=0, graph=GRAPHS[4], filtered={}, same_as=0),
    record('reranking', name='candidate 2', index=2, graph=GRAPHS[7]),
    record('reranking', name='bn_relu', index=None, graph=None)]
LINES = [{'version': 1, 'config': CONFIG}, *RECORDS]
JOURNAL = ''.join(json.dumps(line) + '\n' for line in LINES).encode()


@pytest.fixture(scope='module')
def folder():
  with tempfile.TemporaryDirectory() as path:
    yield pathlib.Path(path)


@pytest.fixture(autouse=True)
def quiet():
  """Torn lines are many here."""
  logging.disable(logging.WARNING)
  yield
  logging.disable(logging.NOTSET)


def check_graph_file(path, content) -> bool:
  """Whether the file holds a graph, after checking that it is a valid one; else after checking the error."""
  path.write_bytes(content)
  try:
    graph = LayerGraph.load(path)
  except LayerGraphError as e:
    assert str(e).startswith(f'{path}: ') and len(str(e)) < 1000
    str(e).encode()  # a lone surrogate could not be printed
    return False
  assert LayerGraph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph
  with np.errstate(all='ignore'):
    y = graph.evaluate(np.ones((2, 2, 2, 4)), np.zeros(4), np.ones(4), 2)
  assert np.broadcast_to(y, (2, 2, 2, 4)).dtype == np.float64
  return True


def read_all(records):
  """What the loop, the plots and the report ask records for."""
  json.dumps([record.to_json() for record in records])
  records_lib.finalists(records, 3, .1), records_lib.candidates_a_minute(records), records_lib.filtered_share(records)
  SuccessiveHalving((1, 2)).bars(records), comparison.counts_by_reason(records), comparison.core_seconds(records)
  for candidate in records_lib.candidates(records):
    assert np.isfinite(candidate.mean_score)
  for entry in ranked_layers.ranking(records):
    entry.name.encode()
    assert entry.layer_graph is None or equation_text(entry.layer_graph)
  ranked_layers.final_table(records)
  assert np.isfinite(records_lib.top_mean(records) or 0)


def check_journal_file(path, content) -> bool:
  """Whether the file holds a journal, after checking that all can be read; else after checking the error."""
  path.write_bytes(content)
  found = []
  for load in (_read, _resume):
    try:
      records = load(path)
    except ModelDirError as e:
      assert str(path) in str(e)
      str(e).encode()
      found.append(None)
    else:
      read_all(records)
      found.append(records)
  assert found[0] is None or found[1] is None or found[0] == found[1]
  return found[0] is not None


def _read(path):
  return load_search(path.parent).records


def _resume(path):
  with Journal(path, CONFIG) as journal:
    return journal.records


def fuzz(profile, files, check, path):
  """Runs the check over mutated files; both outcomes have to appear."""
  outcomes = set()

  @profile
  @given(files)
  def run(content):
    outcomes.add(check(path, content))

  run()
  assert outcomes == {True, False}


GRAPH_FILES = {
    'bytes': damaged_bytes([json.dumps(graph, indent=1).encode() for graph in GRAPHS]), 'data': structures(GRAPHS)}
JOURNAL_FILES = {
    'bytes': damaged_bytes([JOURNAL]),
    'data': st.tuples(st.integers(0, len(LINES) - 1), structures(LINES)).map(
        lambda drawn: b'\n'.join(JOURNAL.split(b'\n')[:drawn[0]] + [drawn[1]] + JOURNAL.split(b'\n')[drawn[0] + 1:])),
    'lines': st.lists(st.sampled_from(JOURNAL.split(b'\n')) | structures(LINES), max_size=8).map(
        lambda lines: b'\n'.join([JOURNAL.split(b'\n')[0], *lines]) + b'\n')}


@pytest.mark.parametrize('kind', GRAPH_FILES)
def test_graph_files(kind, folder):
  fuzz(FEW, GRAPH_FILES[kind], check_graph_file, folder / 'graph.json')


@pytest.mark.parametrize('kind', JOURNAL_FILES)
def test_journals(kind, folder):
  fuzz(FEW, JOURNAL_FILES[kind], check_journal_file, folder / 'journal.jsonl')


@pytest.mark.slow
@pytest.mark.parametrize('kind', GRAPH_FILES)
def test_10_000_graph_files(kind, folder):
  fuzz(MANY, GRAPH_FILES[kind], check_graph_file, folder / 'graph.json')


@pytest.mark.slow
@pytest.mark.parametrize('kind', JOURNAL_FILES)
def test_10_000_journals(kind, folder):
  fuzz(MANY, JOURNAL_FILES[kind], check_journal_file, folder / 'journal.jsonl')
