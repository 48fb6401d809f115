"""Drawings of layer graphs, from the inputs at the top to the output at the bottom, with the equation as caption.

Nodes stand in rows, which igraph calls layers. Each node is one row below its lowest input, and igraph's Sugiyama
layout chooses the order and the positions within the rows. An edge that spans several rows passes through an invisible
vertex in each row between, so that it never crosses a node.
"""

import collections
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import os
import textwrap
from typing import Any
from typing import cast

import igraph
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch
from matplotlib.patches import FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from evonorm_tf.graph.layer_graph import INITIAL_NODES
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.primitives import BATCH
from evonorm_tf.graph.primitives import GROUP
from evonorm_tf.graph.primitives import INSTANCE
from evonorm_tf.graph.primitives import LAYER
from evonorm_tf.graph.primitives import PRIMITIVES
from evonorm_tf.output.figures import INK
from evonorm_tf.output.figures import new_figure
from evonorm_tf.output.figures import save_figure
from search.graphs.affine_equation import affine_equation_latex
from search.graphs.affine_equation import affine_equation_text
from search.graphs.equation import equation_latex
from search.graphs.equation import equation_text

LABELS = {
    'add': '+', 'mul': '×', 'div': 'a / b', 'max': 'max', 'neg': '−', 'sigmoid': 'σ', 'tanh': 'tanh', 'exp': 'exp',
    'abs': '|·|', 'square': '(·)²', 'log': 'ln±', 'sqrt': '√±',
    'first_moment': 'μ', 'second_moment': '√μ(·²)', 'centered_second_moment': 's',
}
ARGUMENT_NAMES = {'div': 'ab'}  # labels of the edges into div, where the order of the inputs matters

# Fill and line colors of nodes: inputs green, moments orange, other primitives blue, dead nodes grey.
_INPUT, _MOMENT, _PRIMITIVE = ('#dff1df', '#3f8f4f'), ('#fdebd3', '#d07a1c'), ('#e3ecf9', '#4a74b4')
_DEAD, _EDGE, _PALE = ('#f6f6f6', '#cccccc'), '#5d6673', '#c0c0c0'

# Lengths are in inches, which are the units of the axes; font sizes are in points.
_NODE_HEIGHT, _COLUMN, _LAYER, _MARGIN, _GAP = 0.42, 0.95, 0.88, 0.25, 0.12
_PORT, _LEAD, _MAX_WIDTH, _CAPTION_SIZES = 0.2, 0.13, 10.5, (14, 12.5, 11, 9.5, 8.5)
_SMALL = FontProperties(size=8.5)
_SPELT_OUT = {BATCH: 'batch, width and height', INSTANCE: 'width and height', LAYER: 'width, height and channels',
              GROUP: 'width, height and the channels of a group'}

_OfOnePlace = Mapping[str, float] | Sequence[float]
Scores = _OfOnePlace | Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class _Edge:
  """An edge from node `source` to node `target`, as the target's argument number `argument`, from 0."""
  source: int
  target: int
  argument: int


_Points = dict[int, tuple[float, float]]  # node -> [x, y]
_Ways = dict[_Edge, list[tuple[float, float]]]  # edge -> [x, y] of its vertices in the rows between


@dataclasses.dataclass(frozen=True)
class _Line:
  """A line of text in a font; mathtext, between dollar signs, if `is_math`."""
  text: str
  font: FontProperties
  is_math: bool = False

  @property
  def extent(self) -> tuple[float, float]:
    """The width and height in inches."""
    return _extent(self.text if self.is_math else self.text.replace('$', r'\$'), self.font)


@functools.lru_cache(4096)  # the symbols of all nodes are few
def _extent(text: str, font: FontProperties) -> tuple[float, float]:
  box = TextPath((0, 0), text, size=font.get_size(), prop=font).get_extents()
  return 1.05 * box.width / 72, max(box.height / 72, 0.16)  # Agg rounds each letter's width up or down


def _label(graph: LayerGraph, index: int) -> tuple[str, str]:
  """Returns a node's symbol and, for a moment, its index set; otherwise an empty string."""
  if index < len(INITIAL_NODES):
    return INITIAL_NODES[index], ''
  primitive = graph.node(index).primitive
  return LABELS.get(primitive, primitive), graph.node(index).axes


def _colors(graph: LayerGraph, index: int) -> tuple[str, str]:
  """Returns a node's fill and line colors."""
  if index not in graph.live:
    return _DEAD
  if index < len(INITIAL_NODES):
    return _INPUT
  return _MOMENT if PRIMITIVES[graph.node(index).primitive].is_moment else _PRIMITIVE


def _width(graph: LayerGraph, index: int) -> float:
  """Returns a node's width in inches."""
  symbol, axes = _label(graph, index)
  return max(0.5, 0.2 + 0.09 * len(symbol), 0.22 + 0.065 * len(axes))


def _edges(graph: LayerGraph, shown: Sequence[int]) -> list[_Edge]:
  """Returns the edges into the nodes `shown`, in the order of `shown`."""
  return [_Edge(source, target, argument) for target in shown if target >= len(INITIAL_NODES)
          for argument, source in enumerate(graph.node(target).inputs)]


def _layers(shown: Sequence[int], edges: Sequence[_Edge]) -> dict[int, int]:
  """Returns the row of each node, 0 at the top: the length of the longest path that leads to the node."""
  layers = dict.fromkeys(shown, 0)
  for edge in edges:  # sorted by target, so that the row of the source is final
    layers[edge.target] = max(layers[edge.target], layers[edge.source] + 1)
  return layers


def _place(shown: Sequence[int], edges: Sequence[_Edge]) -> tuple[_Points, _Ways]:
  """Computes the positions of nodes and edges.

  Args:
    shown: the indices of the nodes, ascending.
    edges: the edges between them.

  Returns:
    The point of each node, and for each edge the points of its vertices in the rows between its nodes. A point is
    [x, y] in inches, x from the leftmost vertex and y downward from the top row.
  """
  layers = _layers(shown, edges)
  vertex_layers, ways = [layers[index] for index in shown], {}
  links: list[tuple[int, int]] = []
  vertex_of = {index: vertex for vertex, index in enumerate(shown)}
  for edge in edges:
    between = range(layers[edge.source] + 1, layers[edge.target])
    ways[edge] = range(len(vertex_layers), len(vertex_layers) + len(between))
    vertex_layers.extend(between)
    path = [vertex_of[edge.source], *ways[edge], vertex_of[edge.target]]
    links.extend(zip(path, path[1:]))
  vertices = igraph.Graph(n=len(vertex_layers), edges=links, directed=True)
  layout = vertices.layout_sugiyama(layers=vertex_layers, hgap=_COLUMN, vgap=_LAYER, maxiter=1000)
  left = min(x for x, _ in layout)
  points = [(x - left, y) for x, y in layout]
  return {i: points[vertex_of[i]] for i in shown}, {edge: [points[v] for v in way] for edge, way in ways.items()}


def _ports(graph: LayerGraph, points: _Points, ways: _Ways, end: str) -> dict[_Edge, float]:
  """Returns the x at which each edge touches the node at its `end`, 'source' or 'target'.

  The edges of a node are spread in the order of their directions, so that they do not cross at the node.
  """
  groups = collections.defaultdict(list)
  for edge, way in ways.items():
    path = [points[edge.source], *way, points[edge.target]]
    groups[getattr(edge, end)].append((path[1 if end == 'source' else -2][0], edge.target, edge.argument, edge))
  ports = {}
  for index, group in groups.items():
    step = min(_PORT, 0.75 * _width(graph, index) / len(group))
    if end == 'target' and graph.node(index).primitive in ARGUMENT_NAMES:
      step = 1.7 * _PORT  # leaves room for the names a and b between the edges
    for position, (*_, edge) in enumerate(sorted(group, key=lambda entry: entry[:3])):
      ports[edge] = points[index][0] + step * (position - (len(group) - 1) / 2)
  return ports


def _curve(route: Sequence[tuple[float, float]]) -> Path:
  """Returns a smooth path through the points, vertical at each.

  Its last piece is straight, with room for the arrow head and an argument's name.
  """
  vertices, codes = [route[0]], [Path.MOVETO]
  *route, end = route
  for (x0, y0), (x1, y1) in zip(route, route[1:] + [(end[0], end[1] - _LEAD)]):
    bend = (y1 - y0) / 2
    vertices += [(x0, y0 + bend), (x1, y1 - bend), (x1, y1)]
    codes += [Path.CURVE4] * 3
  return Path(vertices + [end], codes + [Path.LINETO])


def _draw_edges(axes: Axes, graph: LayerGraph, points: _Points, ways: _Ways) -> None:
  """Draws each edge from the bottom of its source to the top of its target, straight where it passes other nodes."""
  half = _NODE_HEIGHT / 2
  leaves, reaches = (_ports(graph, points, ways, end) for end in ('source', 'target'))
  for edge, way in ways.items():
    band = [(x, y + side) for x, y in way for side in (-half, half)]
    x, y = reaches[edge], points[edge.target][1] - half
    color = _EDGE if edge.target in graph.live else _PALE
    axes.add_patch(FancyArrowPatch(
        path=_curve([(leaves[edge], points[edge.source][1] + half), *band, (x, y)]), arrowstyle='-|>',
        mutation_scale=8, shrinkA=0, shrinkB=0, linewidth=1.1, facecolor=color, edgecolor=color, zorder=1))
    if names := ARGUMENT_NAMES.get(graph.node(edge.target).primitive):
      side = 0.08 if x < points[edge.target][0] else -0.08
      axes.text(x + side, y - 0.075, names[edge.argument], fontsize=8, fontstyle='italic', color=color, ha='center',
                va='center')


def _draw_nodes(axes: Axes, graph: LayerGraph, points: _Points) -> None:
  """Draws each node as a box with its symbol and index set; the output's box is filled with its line color."""
  for index, (x, y) in points.items():
    width, (fill, line) = _width(graph, index), _colors(graph, index)
    axes.add_patch(FancyBboxPatch(
        (x - width / 2, y - _NODE_HEIGHT / 2), width, _NODE_HEIGHT, boxstyle='round,pad=0,rounding_size=0.12',
        facecolor=line if index == graph.output else fill, edgecolor=line, linewidth=1.3, zorder=2))
    color = 'white' if index == graph.output else INK if index in graph.live else '#a0a0a0'
    symbol, index_set = _label(graph, index)
    style: dict[str, Any] = {'color': color, 'ha': 'center', 'va': 'center_baseline', 'zorder': 3}
    axes.text(x, y - (0.07 if index_set else 0), symbol, fontsize=10.5 if index_set else 11.5, **style)
    if index_set:
      axes.text(x, y + 0.11, index_set, fontsize=7.5, **style)


def _draw_output(axes: Axes, graph: LayerGraph, points: _Points) -> None:
  """Draws the arrow from the output node through γ and β to y."""
  x, y = points[graph.output]
  start = y + _NODE_HEIGHT / 2
  axes.add_patch(FancyArrowPatch((x, start), (x, start + 0.34), arrowstyle='-|>', mutation_scale=8, shrinkA=0,
                                 shrinkB=0, linewidth=1.1, color=_EDGE))
  axes.text(x + 0.09, start + 0.15, '· γ + β', fontsize=8, color=_EDGE, ha='left', va='center')
  axes.text(x, start + 0.44, 'y', fontsize=11.5, color=INK, ha='center', va='center')


def _caption(graph: LayerGraph, layer: LayerGraph | None) -> list[_Line]:
  """Returns the lines of the layer's equation modulo γ and β, of the graph's own if it differs, and of index sets."""
  own = equation_latex(graph), equation_text(graph)
  simple = own if layer is None else (affine_equation_latex(layer), affine_equation_text(layer))
  lines = _equation_lines(*simple)
  if simple != own:
    lines += [_Line('as drawn:', _SMALL), *_equation_lines(*own, _CAPTION_SIZES[2])]
  used = {graph.node(i).axes for i in graph.live if i >= len(INITIAL_NODES)}
  return lines + [_Line(f'{axes}: over {_SPELT_OUT[axes]}', _SMALL) for axes in _SPELT_OUT if axes in used]


def _equation_lines(latex: str, text: str, largest: float = _CAPTION_SIZES[0]) -> list[_Line]:
  """Returns an equation's lines, in the largest size of mathtext that fits, or else as wrapped plain text."""
  try:
    texts = [f'${line}$'.replace(r'\frac', r'\dfrac') for line in latex.split(' \\\\\n')]
    width = max(_Line(text, FontProperties(size=largest, math_fontfamily='cm'), True).extent[0] for text in texts)
    size = next((size for size in _CAPTION_SIZES if size <= largest and width * size / largest <= _MAX_WIDTH), None)
  except ValueError:  # mathtext knows only a part of LaTeX
    size = None
  if size is not None:
    return [_Line(text, FontProperties(size=size, math_fontfamily='cm'), is_math=True) for text in texts]
  return [_Line(part, FontProperties(size=10)) for line in text.split('\n') for part in textwrap.wrap(line, 110)]


def _heading(title: str, scores: Scores) -> list[_Line]:
  """Returns the title and, on lines of their own, the scores; neither if empty."""
  named = scores.items() if isinstance(scores, Mapping) else ()
  places = {place: of_place for place, of_place in named if isinstance(of_place, Mapping)}
  lines = [f'{place}: {_scores_text(of_place)}' for place, of_place in places.items()] or [
      _scores_text(cast(_OfOnePlace, scores))]
  return [_Line(text, font) for text, font in [(title, FontProperties(size=13, weight='bold')),
                                               *((line, FontProperties(size=10)) for line in lines)] if text]


def _scores_text(scores: _OfOnePlace) -> str:
  """Returns accuracies in percent, with the names of the architectures if they are given."""
  if isinstance(scores, Mapping):
    return '   '.join(f'{name} {100 * score:.1f}%' for name, score in scores.items())
  return '   '.join(f'{100 * score:.1f}%' for score in scores)


def _write(axes: Axes, lines: Iterable[_Line], y: float) -> None:
  """Writes lines of text, centered, from y downward."""
  for line in lines:
    axes.text(sum(axes.get_xlim()) / 2, y + line.extent[1] / 2, line.text, fontproperties=line.font, color=INK,
              ha='center', va='center', parse_math=line.is_math)
    y += line.extent[1] + _GAP


def draw_graph(graph: LayerGraph, title: str = '', scores: Scores = (), show_dead: bool = False,
               layer: LayerGraph | None = None) -> Figure:
  """Draws a layer graph, with its equation as caption, and what the index sets in it stand for.

  Args:
    graph: the layer graph.
    title: a line above the drawing (default: none).
    scores: one accuracy for each architecture, in [0, 1], shown below the title in percent: a mapping by architecture,
      or a sequence for scores without names, or a mapping of the name of a line, such as 'test', to one of these
      (default: none).
    show_dead: whether to draw dead nodes and unused initial nodes too, in grey (default False).
    layer: a simpler graph of the same layer, whose equation modulo γ and β then stands above that of `graph`, if they
      differ; None (default) for the equation of `graph` alone.

  Returns:
    The figure, on an Agg canvas and not registered with pyplot.
  """
  shown = range(graph.output + 1) if show_dead else sorted(graph.live)
  points, ways = _place(shown, _edges(graph, shown))
  heading, caption = _heading(title, scores), _caption(graph, layer)
  right, bottom = (max(p[i] for p in [*points.values(), *sum(ways.values(), [])]) for i in (0, 1))
  width = max([right + _COLUMN] + [line.extent[0] for line in heading + caption]) + 2 * _MARGIN
  above, below = (sum(line.extent[1] + _GAP for line in lines) for lines in (heading, caption))
  top = _MARGIN + above + _NODE_HEIGHT / 2 + _GAP
  end = top + bottom + _NODE_HEIGHT / 2 + 0.75
  figure = new_figure(width, end + below + _MARGIN - _GAP, layout=None)
  axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(figure.get_figheight(), 0))
  axes.set_axis_off()
  _write(axes, heading, _MARGIN)
  _write(axes, caption, end)
  left = (width - right) / 2
  points = {index: (x + left, y + top) for index, (x, y) in points.items()}
  ways = {edge: [(x + left, y + top) for x, y in way] for edge, way in ways.items()}
  _draw_edges(axes, graph, points, ways)
  _draw_nodes(axes, graph, points)
  _draw_output(axes, graph, points)
  return figure


def save_drawing(graph: LayerGraph, path: str | os.PathLike, title: str = '', scores: Scores = (),
                 show_dead: bool = False) -> None:
  """Writes the drawing of a layer graph to a PNG file and, beside it, to an SVG file.

  Args:
    graph: the layer graph.
    path: the PNG file to write; existing files are replaced.
    title: a line above the drawing (default: none).
    scores: accuracies to show below the title, as for `draw_graph` (default: none).
    show_dead: whether to draw dead nodes and unused initial nodes too, in grey (default False).

  Raises:
    OSError: if a file cannot be written.
  """
  save_figure(draw_graph(graph, title, scores, show_dead), path)
