"""Drawings by what their figures hold: labels, edges, extents. Nobody but a person sees whether they are beautiful."""

import collections
import io
import random

from matplotlib import _pylab_helpers
from matplotlib.colors import to_hex
from matplotlib.image import imread
from matplotlib.patches import FancyArrowPatch
from matplotlib.patches import FancyBboxPatch
import numpy as np
import pytest

from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.graph.primitives import INDEX_SETS
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import PRIMITIVES
from evonorm_tf.output.figures import figure_to_png
from search.graphs import drawing
from search.graphs.known_graphs import known_graph
from search.graphs.known_graphs import KNOWN_GRAPHS
from search.graphs.known_graphs import V1
from search.graphs.known_graphs import X

pytestmark = pytest.mark.usefixtures('drawn_figures')

DEAD_LAST_BUT_ONE = LayerGraph((Node('first_moment', (X,), INSTANCE), Node('exp', (V1,)), Node('div', (4, X))))


def random_graph(rng: random.Random, count: int) -> LayerGraph:
  nodes = []
  for index in range(len(INITIAL_NODES), len(INITIAL_NODES) + count):
    primitive = rng.choice(list(PRIMITIVES.values()))
    inputs = tuple(rng.choice((X, index - 1, rng.randrange(index))) for _ in range(primitive.arity))
    nodes.append(Node(primitive.name, inputs, rng.choice(INDEX_SETS) if primitive.is_moment else ''))
  return LayerGraph(tuple(nodes))


def texts(figure) -> collections.Counter:
  return collections.Counter(text.get_text() for text in figure.axes[0].texts)


def patches(figure, kind) -> list:
  return [patch for patch in figure.axes[0].patches if isinstance(patch, kind)]


def labels(graph: LayerGraph, indices) -> collections.Counter:
  """The symbols and index sets that the nodes of these indices are drawn with."""
  counter = collections.Counter()
  for index in indices:
    if index < len(INITIAL_NODES):
      counter[INITIAL_NODES[index]] += 1
    else:
      counter[drawing.LABELS[graph.node(index).primitive]] += 1
      counter[graph.node(index).axes] += 1
  del counter['']
  return counter


def assert_shows(figure, graph: LayerGraph, indices) -> None:
  """The figure has a box, its label and its edges for each of these nodes, and for no other."""
  expected = labels(graph, indices)
  known = set(drawing.LABELS.values()) | set(INITIAL_NODES) | set(INDEX_SETS)
  assert {label: count for label, count in texts(figure).items() if label in known} == expected
  edges = sum(len(graph.node(index).inputs) for index in indices if index >= len(INITIAL_NODES))
  assert len(patches(figure, FancyBboxPatch)) == len(indices)
  assert len(patches(figure, FancyArrowPatch)) == edges + 1  # and y's


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.slow] * (name not in ('evonorm_b0', 'evonorm_s0'))) for name in KNOWN_GRAPHS])
def test_png_holds_the_known_graph_unclipped(name, tmp_path):
  graph = known_graph(name)
  assert_shows(drawing.draw_graph(graph), graph, graph.live)
  drawing.save_drawing(graph, tmp_path / 'graph.png', title=name, scores=(0.5, 0.25))
  image = imread(tmp_path / 'graph.png')
  assert 300 < image.shape[0] < 1500 and 300 < image.shape[1] < 1500
  border = np.concatenate([image[:10].reshape(-1, 4), image[-10:].reshape(-1, 4), image[:, :10].reshape(-1, 4),
                           image[:, -10:].reshape(-1, 4)])
  assert (border == 1.).all() and (image[..., :3] < 0.5).any()


def test_dead_nodes_are_left_out_or_grey():
  graph = DEAD_LAST_BUT_ONE
  assert_shows(drawing.draw_graph(graph), graph, graph.live)
  figure = drawing.draw_graph(graph, show_dead=True)
  assert_shows(figure, graph, range(graph.output + 1))
  fills = collections.Counter(to_hex(box.get_facecolor()) for box in patches(figure, FancyBboxPatch))
  assert fills[drawing._DEAD[0]] == 4  # exp, 0, v0 and v1, which exp alone reads
  assert fills[drawing._INPUT[0]] == fills[drawing._MOMENT[0]] == fills[drawing._PRIMITIVE[1]] == 1


def test_the_same_argument_twice_is_two_edges():
  edge, other, _ = patches(drawing.draw_graph(LayerGraph((Node('mul', (X, X)),))), FancyArrowPatch)
  first, second = (patch._path_original.vertices for patch in (edge, other))
  assert abs(first[:, 0] - second[:, 0]).min() > 0.05


def test_arguments_of_a_division_are_named_at_their_edges():
  figure = drawing.draw_graph(DEAD_LAST_BUT_ONE)
  at = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
  ends = {len(patch._path_original.vertices): patch._path_original.vertices[-1] for patch in
          patches(figure, FancyArrowPatch)[1:3]}  # x reaches the division by a longer way than its mean
  near = {name: min(ends, key=lambda length: abs(ends[length][0] - at[name][0])) for name in 'ab'}
  assert near == {'a': min(ends), 'b': max(ends)}


def test_random_graphs_are_drawn_whole_and_edges_avoid_nodes():
  rng = random.Random(0)
  for _ in range(20):
    graph = random_graph(rng, 10)
    figure = drawing.draw_graph(graph, show_dead=True)
    assert_shows(figure, graph, range(graph.output + 1))
    boxes = [box.get_bbox().padded(-0.02) for box in patches(figure, FancyBboxPatch)]
    for edge in patches(figure, FancyArrowPatch):
      if edge._path_original is not None:
        points = edge._path_original.interpolated(1).to_polygons(closed_only=False)[0]
        assert not any(box.contains(x, y) for box in boxes for x, y in points)
    for box, other in ((a, b) for a in boxes for b in boxes if a is not b):
      assert not box.overlaps(other)


def test_heading():
  figure = drawing.draw_graph(known_graph('evonorm_s1'), 'costs $x^{ or $5', scores={'ResNet-50': 0.25})
  assert texts(figure)['costs $x^{ or $5'] == texts(figure)['ResNet-50 25.0%'] == 1
  assert figure_to_png(figure).startswith(b'\x89PNG')
  assert '50.0%   25.0%' in texts(drawing.draw_graph(DEAD_LAST_BUT_ONE, scores=(0.5, 0.25)))
  scores = {'search': {'a': .5, 'b': .25}, 'test': {'a': .625}}
  shown = texts(drawing.draw_graph(DEAD_LAST_BUT_ONE, scores=scores))
  assert {'search: a 50.0%   b 25.0%', 'test: a 62.5%'} <= set(shown)


def test_caption_has_the_layers_equation_above_that_of_the_graph_and_spells_out_index_sets():
  graph = LayerGraph((Node('square', (2,)), Node('add', (X, 4)), Node('first_moment', (5,), 'w,h,c/g')))
  layer = LayerGraph((Node('first_moment', (X,), 'w,h,c/g'),))
  shown = list(texts(drawing.draw_graph(graph, layer=layer)))
  assert 'w,h,c/g: over width, height and the channels of a group' in shown
  simple, own = (next(i for i, text in enumerate(shown) if text.startswith(start)) for start in (
      r'$y = \mu_{w,h,c/g}(x) ', r'$y = \mu_{w,h,c/g}(x + '))
  assert simple < shown.index('as drawn:') < own
  assert 'as drawn:' not in texts(drawing.draw_graph(layer, layer=layer))


def test_caption_is_the_equation_and_falls_back_to_text(monkeypatch):
  graph = known_graph('evonorm_s1')
  math = r'$y = \dfrac{x \, \sigma(x)}{s_{w,h,c/g}(x)} \cdot \gamma + \beta$'
  assert math in texts(drawing.draw_graph(graph))
  for latex in (r'y = \nocommand{', 'x + ' * 400 + 'x'):  # neither read nor fitting
    monkeypatch.setattr(drawing, 'equation_latex', lambda graph, latex=latex: latex)
    figure = drawing.draw_graph(graph)
    assert 'y = x·σ(x) / s[w,h,c/g](x) · γ + β' in texts(figure)
    assert imread(io.BytesIO(figure_to_png(figure))).shape[1] < 1500


def test_pyplot_keeps_no_figure():
  figure_to_png(drawing.draw_graph(DEAD_LAST_BUT_ONE))
  assert not _pylab_helpers.Gcf.get_all_fig_managers()
