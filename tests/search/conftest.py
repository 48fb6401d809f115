"""Records of a journal, for the tests of all that reads them."""

import pytest

from search.known_graphs import known_graph
from search.records import ACCEPTED, EVOLUTION

ARCHITECTURES = ('resnet', 'mobilenet_v2', 'efficientnet')


def _record(stage=EVOLUTION, scores=(), *, name=None, index=None, graph=None, outcome=None, test_scores=(),
            seconds=None, **fields):
  """A record; accepted if it has scores. Candidates without a graph get that of EvoNorm-S0."""
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
def make_record():
  """The function that makes a record: stage, scores in the order of the architectures, and further fields."""
  return _record
