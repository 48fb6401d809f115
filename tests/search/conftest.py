"""Records of a journal, for the tests of all that reads them; a whole search with a fake evaluation."""

import types

import pytest

from evonorm_tf.graph import primitives
from search import evolution
from search.graphs.known_graphs import known_graph
from search.journal.outcomes import ACCEPTED
from search.journal.outcomes import EVOLUTION
from search.journal.record import Record
from search.reporting import page
from tests.search import fake_search

ARCHITECTURES = ('resnet', 'mobilenet_v2', 'efficientnet')


def _json(stage=EVOLUTION, scores=(), *, name=None, index=None, graph=None, outcome=None, test_scores=(),
            seconds=None, **fields):
  """A record's JSON data; accepted if it has scores. Candidates without a graph get that of EvoNorm-S0."""
  is_found = name is None
  record = {
      'stage': stage, 'graph': (graph or known_graph('evonorm_s0')).to_dict() if is_found else None,
      'outcome': outcome or (ACCEPTED if scores else 'failed'), 'detail': '', 'screening': {}, 'gradient_norm': 1.,
      'scores': dict(zip(ARCHITECTURES, scores)), 'seconds': seconds or {}, 'elapsed': 0.}
  if stage == EVOLUTION:
    record |= {'index': index or 0, 'parent': None, 'filtered': {}}
  else:
    record['name'] = name or f'candidate {index}'
  if stage == 'reranking':
    record |= {'index': index, 'test_scores': dict(zip(ARCHITECTURES, test_scores))}
  return record | fields


@pytest.fixture
def make_json():
  """The function that makes a record's JSON data: stage, scores in the order of the architectures, further fields."""
  return _json


@pytest.fixture
def make_record():
  """The same as a `Record`."""
  return lambda *args, **fields: Record.from_json(_json(*args, **fields))


@pytest.fixture
def stopped():
  """The rungs of a candidate that successive halving stopped at its only one."""
  return [{'steps': 3, 'accuracies': dict.fromkeys(ARCHITECTURES, .1), 'bar': .5, 'stopped': True}]


@pytest.fixture(scope='session', autouse=True)
def few_drawings():
  """Leaves most drawings out of the pages of reports: each takes a tenth of a second."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(page, 'MOST_DRAWINGS', 2)
    yield


@pytest.fixture
def bare(monkeypatch):
  """Leaves out TensorBoard and the report."""
  monkeypatch.setattr(evolution, 'Summaries', lambda *_, **__: types.SimpleNamespace(
      write=lambda records: None, write_text=lambda tag, text: None, close=lambda: None))
  monkeypatch.setattr(evolution, '_report', lambda *_: None)


@pytest.fixture(scope='session')
def whole(tmp_path_factory):
  """The folder of a search that was never interrupted, with all its files, and its records as JSON data."""
  model_dir = tmp_path_factory.mktemp('whole')
  return model_dir, fake_search.search(model_dir, operative_config=lambda: 'a = 1')


@pytest.fixture
def registrations_undone():
  """What a test registers goes with it."""
  yield
  for name in set(primitives.PRIMITIVES) - set(primitives.BUILT_IN):
    del primitives.PRIMITIVES[name]
  primitives.REGISTERED_INDEX_SETS.clear()
