"""How all pages, plots and terminals show a layer: its equation, its drawing and its scores.

The equation is that of the layer up to γ and β, which can absorb what stands outside of it. Scores come from up to
three places, each named: the search's proxy task, and the re-ranking's validation and test images.
"""

from collections.abc import Mapping
from collections.abc import Sequence

from matplotlib.figure import Figure

from evonorm_tf.graph.layer_graph import LayerGraph
from search.equivalence.frozen_vectors import without_frozen_vectors
from search.graphs.affine_equation import affine_equation_latex
from search.graphs.affine_equation import affine_equation_text
from search.graphs.drawing import draw_graph
from search.journal import records as records_lib
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.record import Record

SEARCH, VALIDATION, TEST = 'search', 'validation', 'test'
Scores = Mapping[str, Mapping[str, float]]  # the accuracy by the architecture, by the place in the order of training


def equation_of(graph: LayerGraph) -> str:
  """Returns the equation of a layer as text, without what γ and β absorb.

  Args:
    graph: the layer graph.
  """
  return affine_equation_text(without_frozen_vectors(graph))


def latex_of(graph: LayerGraph) -> str:
  """Returns the equation of a layer as LaTeX, without what γ and β absorb.

  Args:
    graph: the layer graph.
  """
  return affine_equation_latex(without_frozen_vectors(graph))


def scores_of(records: Sequence[Record], layer: Record) -> Scores:
  """Returns a layer's accuracies, in [0, 1], by the place where they were measured and the architecture.

  Args:
    records: the search's records of all stages.
    layer: one of the layer's records, which its name and its number tell.

  Returns:
    'search', on the proxy task; 'validation' and 'test', of the re-ranking, means over its seeds. What was not measured
    is left out: the test if there is none, the re-ranking if one of its trainings was not accepted.
  """
  own = [r for r in records if (r.index, r.name) == (layer.index, layer.name)]
  proxy = [r for r in own if r.stage in (EVOLUTION, REFERENCE) and r.is_accepted][:1]
  final = [r for r in records_lib.over_seeds([r for r in own if r.stage == RERANKING]) if r.is_accepted]
  scores: dict[str, Mapping[str, float]] = {SEARCH: record.scores for record in proxy}
  for record in final:
    scores |= {VALIDATION: record.scores, TEST: record.test_scores or {}}
  return {place: by_architecture for place, by_architecture in scores.items() if by_architecture}


def draw_layer(graph: LayerGraph, title: str, scores: Scores | None = None) -> Figure:
  """Draws a layer graph with its equation as caption, and its scores.

  Args:
    graph: the layer graph.
    title: a line above the drawing.
    scores: the layer's scores, as `scores_of` returns them (default: none).

  Returns:
    The figure, on an Agg canvas.
  """
  return draw_graph(graph, title, scores or {}, layer=without_frozen_vectors(graph))
