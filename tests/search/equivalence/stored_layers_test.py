"""The file of an equivalence cache: what it saves, and that damage only costs time."""

import numpy as np
import pytest

from search.equivalence import stored_layers
from search.equivalence.equivalents import Equivalents
from search.equivalence.equivalents import EXACT
from search.equivalence.stored_layers import StoredLayers
from search.graphs.known_graphs import known_graph
from search.graphs.random_graph import random_graph
from search.graphs.random_graph import SearchSpace

RNG = np.random.default_rng(0)
GRAPHS = [random_graph(SearchSpace(), RNG) for _ in range(6)]


class Facts:
  """Made-up facts, and the graphs for which they were computed."""

  def __init__(self, shift=0.):
    self.computed, self._shift = [], shift

  def __call__(self, graph):
    self.computed.append(graph)
    return bytes([len(graph.nodes)]) * 17, 1. / 3. + self._shift + (GRAPHS.index(graph) if graph in GRAPHS else 0.)


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'equivalence.cache'


def ask(path, method='affine', graphs=GRAPHS, shift=0.):
  """Asks for facts on all graphs; returns them and the graphs for which they were computed."""
  compute = Facts(shift)
  stored = StoredLayers(path, method, compute)
  facts = [stored.facts(graph) for graph in graphs]
  stored.close()
  return facts, [graph for graph in compute.computed if graph in GRAPHS]


def test_what_was_stored_is_not_computed_again(path):
  first, computed = ask(path, graphs=GRAPHS[:4])
  assert computed == GRAPHS[:4] and first == [Facts()(graph) for graph in GRAPHS[:4]]
  again, computed = ask(path)
  assert again[:4] == first and computed == GRAPHS[4:]
  assert ask(path)[1] == []


def test_without_a_file_all_is_computed():
  assert ask(None)[1] == ask(None)[1] == GRAPHS


@pytest.mark.parametrize('other', [{'method': 'exact'}, {'shift': .001}])
def test_another_way_to_compute_begins_anew(path, other):
  ask(path)
  assert ask(path, **other)[1] == GRAPHS and ask(path, **other)[1] == [] and ask(path)[1] == GRAPHS


def test_a_later_version_begins_anew(path, monkeypatch):
  ask(path)
  monkeypatch.setattr(stored_layers, 'VERSION', 2)
  assert ask(path)[1] == GRAPHS


def test_damaged_entries_are_computed_again_wherever_the_file_is_cut_or_changed(path):
  expected, _ = ask(path)
  whole = path.read_bytes()
  start = whole.index(b'\n') + 1
  size = (len(whole) - start) // len(GRAPHS)
  assert size * len(GRAPHS) == len(whole) - start and size == 45
  for cut in range(0, len(whole), 7):
    path.write_bytes(whole[:cut])
    facts, computed = ask(path)
    assert facts == expected and computed == GRAPHS[max(cut - start, 0) // size:]
    assert path.read_bytes() == whole
  for place in range(start, len(whole), 11):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:])
    assert ask(path) == (expected, [GRAPHS[(place - start) // size]])
  path.write_bytes(b'something else\n' * 40)
  assert ask(path) == (expected, GRAPHS) and path.read_bytes() == whole


def test_a_file_that_cannot_be_written_costs_time_alone(path, monkeypatch, caplog, tmp_path):
  expected, _ = ask(path)
  assert ask(tmp_path / 'missing' / 'file') == (expected, GRAPHS) and 'No such file' in caplog.text

  class Full:
    def write(self, data):
      return len(data) - 1

    def close(self):
      """Nothing is open."""

  stored = StoredLayers(path, 'affine', Facts())
  stored.facts(GRAPHS[0])
  monkeypatch.setattr(stored, '_file', Full())
  assert [stored.facts(known_graph('bn_relu'))] == [Facts()(known_graph('bn_relu'))]
  assert 'No space left' in caplog.text and stored.facts(GRAPHS[1]) == expected[1]


@pytest.mark.parametrize('same_layer', ['affine', EXACT])
def test_a_cache_with_a_file_finds_what_one_without_finds(path, same_layer, monkeypatch):
  rng = np.random.default_rng(1)
  graphs = [random_graph(SearchSpace(4), rng) for _ in range(150)]

  def keys(cache):
    found = []
    for key, graph in enumerate(graphs):
      found.append(cache.find(graph))
      if found[-1] is None:
        cache.add(graph, key)
    return found

  expected = keys(Equivalents(same_layer))
  assert 10 < len([key for key in expected if key is not None]) < 140
  monkeypatch.setattr('search.equivalence.equivalents.KEPT', 3)  # fingerprints are computed again
  assert keys(Equivalents(same_layer, path)) == expected
  resumed = Equivalents(same_layer, path)
  monkeypatch.setattr(resumed._stored, '_compute', None)
  resumed._stored._header = lambda: path.read_bytes().split(b'\n')[0] + b'\n'
  for key, graph in enumerate(graphs[:100]):
    if expected[key] is None:
      resumed.add(graph, key)
  found = [resumed.find(graph) for graph in graphs[:100]]
  assert found == [key if known is None else known for key, known in enumerate(expected[:100])]
