"""The evaluation that a search's gin file binds, on one core, as each of two workers has on two cores."""

from absl import logging
import gin
import tensorflow as tf

from search import evolution
from search.evaluation.evaluation import Evaluation


def read_evaluation(gin_file: str) -> Evaluation:
  """Returns the evaluation that a gin file binds; restricts TensorFlow, which must still be unused, to one core."""
  logging.set_verbosity(logging.WARNING)
  tf.get_logger().setLevel('ERROR')
  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  gin.parse_config_file(gin_file)
  return gin.query_parameter(f'{evolution.run_search.__module__}.run_search.evaluation').scoped_configurable_fn()
