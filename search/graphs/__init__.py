"""Layer graphs: random graphs, mutation, known layers, the static filter, equations and drawings, without TensorFlow.

The search space and the mutation are the paper's.
"""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.graphs.affine_equation import affine_equation_latex as affine_equation_latex
  from search.graphs.affine_equation import affine_equation_text as affine_equation_text
  from search.graphs.drawing import draw_graph as draw_graph
  from search.graphs.drawing import save_drawing as save_drawing
  from search.graphs.equation import equation_latex as equation_latex
  from search.graphs.equation import equation_text as equation_text
  from search.graphs.known_graphs import graphs_by_name as graphs_by_name
  from search.graphs.known_graphs import known_graph as known_graph
  from search.graphs.known_graphs import KNOWN_GRAPHS as KNOWN_GRAPHS
  from search.graphs.mutation import mutate as mutate
  from search.graphs.random_graph import sample_space as sample_space
  from search.graphs.random_graph import SearchSpace as SearchSpace
  from search.graphs.static_filter import static_rejection as static_rejection

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'affine_equation': ('affine_equation_latex', 'affine_equation_text'),
    'drawing': ('draw_graph', 'save_drawing'),
    'equation': ('equation_latex', 'equation_text'),
    'known_graphs': ('KNOWN_GRAPHS', 'graphs_by_name', 'known_graph'),
    'mutation': ('mutate',),
    'random_graph': ('SearchSpace', 'sample_space'),
    'static_filter': ('static_rejection',),
})
