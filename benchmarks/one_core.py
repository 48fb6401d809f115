"""The evaluation of a search's gin file, restricted to one core, like that of each of two workers on two cores."""

from absl import logging
import gin
import tensorflow as tf

from search import evolution
from search.evaluation.evaluation import Evaluation


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
  gin.parse_config_file(gin_file)
  return gin.query_parameter(f'{evolution.run_search.__module__}.run_search.evaluation').scoped_configurable_fn()
