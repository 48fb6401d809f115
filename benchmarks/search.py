"""What one candidate of a search costs: static filter, quality test, whole evaluation, and the share of tracing.

  python -m benchmarks.search [--gin_file=gin/search/quickstart.gin] [--repeats=3]

Runs on one core, as each of the quickstart's two workers does, for about 17 minutes. Layers alternate; the figures are
medians.
"""

import os

os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import dataclasses
import statistics
import time

from absl import app
from absl import flags
from absl import logging
import gin
import numpy as np
from rich.console import Console
from rich.table import Table
import tensorflow as tf

from search import evolution
from search.known_graphs import known_graph
from search.random_graph import random_graph
from search.random_graph import SearchSpace
from search.static_filter import static_rejection

_GIN_FILE = flags.DEFINE_string('gin_file', 'gin/search/quickstart.gin', 'The search whose task is timed.')
_REPEATS = flags.DEFINE_integer('repeats', 3, 'Evaluations of each layer.', lower_bound=1)

GRAPHS = 20_000
LAYERS = ('bn_relu', 'evonorm_s0', 'evonorm_b0')


def static_filter_rate() -> tuple[float, float]:
  """Returns random graphs a second, made and filtered, and the share that the filter rejects."""
  space, rng = SearchSpace(), np.random.default_rng(0)
  start = time.perf_counter()
  rejected = sum(static_rejection(random_graph(space, rng)) is not None for _ in range(GRAPHS))
  return GRAPHS / (time.perf_counter() - start), rejected / GRAPHS


def median_seconds(outcomes) -> dict[str, float]:
  """The median of each activity's seconds."""
  return {activity: statistics.median(o.seconds.get(activity, 0.) for o in outcomes)
          for activity in ('build', 'trace', 'train', 'evaluate', 'stability', 'total')}


def time_layers(evaluation, repeats: int) -> dict[str, dict[str, float]]:
  """Evaluates the layers' graphs in turns; one round more than is counted, to warm up."""
  outcomes = {name: [] for name in LAYERS}
  for _ in range(repeats + 1):
    for name in LAYERS:
      outcomes[name].append(evaluation.evaluate(known_graph(name)))
  return {name: median_seconds(o[1:]) for name, o in outcomes.items()}


def main(_):
  logging.set_verbosity(logging.WARNING)
  tf.get_logger().setLevel('ERROR')
  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  gin.parse_config_file(_GIN_FILE.value)
  full = gin.query_parameter(f'{evolution.run_search.__module__}.run_search.evaluation').scoped_configurable_fn()
  # A candidate that fails the quality test sees the first architecture alone.
  screening = dataclasses.replace(
      full, stability=None,
      task=dataclasses.replace(full.task, architectures=full.task.architectures[:1], steps=full.quality.steps))
  rate, rejected = static_filter_rate()
  table = Table(title='Seconds a candidate on one core, medians')
  for column in ('stage', 'layer graph', 'build', 'trace', 'train', 'evaluate', 'stability', 'total', 'tracing'):
    table.add_column(column, justify='left' if column in ('stage', 'layer graph') else 'right')
  for stage, evaluation in ((f'quality test, {full.quality.steps} steps', screening), ('full', full)):
    for name, seconds in time_layers(evaluation, _REPEATS.value).items():
      table.add_row(stage, name, *(f'{s:.2f}' for s in seconds.values()), f'{seconds["trace"] / seconds["total"]:.0%}')
  console = Console(width=120)
  console.print(f'static filter: {rate:,.0f} random graphs a second, made and judged; {rejected:.1%} rejected')
  console.print(table)


if __name__ == '__main__':
  app.run(main)
