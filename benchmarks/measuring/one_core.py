"""What one of two workers on two cores does: the evaluation of a search's gin file, on one core, and its candidates."""

from absl import logging
import tensorflow as tf

from benchmarks.measuring.search_runs import search_argument
from evonorm_tf.graph.layer_graph import LayerGraph
from search.equivalence.equivalents import REDRAW
from search.evaluation.evaluation import Evaluation
from search.graphs.random_graph import SearchSpace
from search.selection.population import Population
from search.selection.proposal import RandomSearch
from search.selection.proposer import Proposer


def read_evaluation(gin_file: str) -> Evaluation:
  """Returns the evaluation that a search's gin file configures, and restricts TensorFlow to one core.

  TensorFlow must not have run anything yet in this process.

  Args:
    gin_file: the path of a gin file that configures `search.evolution.run_search`.
  """
  logging.set_verbosity(logging.WARNING)
  tf.get_logger().setLevel('ERROR')
  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  return search_argument('evaluation', gin_file)


def typical_graphs(count: int) -> list[LayerGraph]:
  """Returns the layer graphs of the first candidates of a random search.

  Args:
    count: the number of graphs.
  """
  proposer = Proposer(RandomSearch(), SearchSpace(), Population(1), (), REDRAW, seed=0)
  return [proposer.propose(index).graph for index in range(count)]
