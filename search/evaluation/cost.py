"""What a layer costs: the time of a training step against BN-ReLU's, and the memory between the two passes.

The paper has no such measurement. The times are those of the steps that an accepted layer trains anyway, and of a short
training with BN-ReLU in the same process, once for each task; on CPUs they are processor time, because a search shares
the machine with its other workers. BN-ReLU runs in a network of its own, as a reference does, and a layer graph in the
network that the process reuses, operation by operation; `evonorm_tf.GraphLayer`, whose core is compiled, is faster.
"""

from collections.abc import Mapping
import statistics

from absl import logging
import tensorflow as tf

from evonorm_tf.layers.norm_act import NormActFactory
from search.evaluation.kept_tensors import kept
from search.evaluation.kept_tensors import SHAPE
from search.evaluation.proxy_task import ProxyTask
from search.evaluation.training import STEPS_PER_CALL
from search.evaluation.training import Training
from search.journal.outcomes import KEPT
from search.journal.outcomes import STEP_TIME

BASE_STEPS = 3 * STEPS_PER_CALL  # steps of the training with BN-ReLU, two calls of which are timed

_base_times: dict[str, dict[str, float]] = {}  # task -> architecture -> seconds of a step with BN-ReLU


def layer_cost(task: ProxyTask, norm_act: NormActFactory, trainings: Mapping[str, Training],
               base: NormActFactory) -> dict[str, float | None]:
  """Returns what a layer costs.

  It trains networks of BN-ReLU at its first call for a task, unless the layer is BN-ReLU itself, and nothing else.

  Args:
    task: the proxy task.
    norm_act: the layer's factory.
    trainings: the layer's trainings, ended, by architecture.
    base: the factory of BN-ReLU, for this task.

  Returns:
    A dictionary with two keys:
    - 'step_time': the time of a training step as a multiple of BN-ReLU's, the geometric mean over the architectures;
      None if there was no step to time or none that the clock could tell from 0, or BN-ReLU does not train.
    - 'kept': the size of the tensors that the layer keeps for the backward pass as a multiple of its input's; None
      if it cannot be counted.
  """
  return {STEP_TIME: _step_time(task, norm_act, trainings, base), KEPT: _kept(norm_act)}


def _step_time(task: ProxyTask, norm_act: NormActFactory, trainings: Mapping[str, Training], base: NormActFactory
               ) -> float | None:
  times = {family: training.step_seconds for family, training in trainings.items()}
  if not all(times.values()):
    return None
  key = task.key
  if key not in _base_times:
    _base_times[key] = times if norm_act == base else _times_with(base, task)
  base_times = _base_times[key]
  if base_times.keys() != times.keys():
    return None
  return round(statistics.geometric_mean(times[family] / base_times[family] for family in times), 3)


def _times_with(norm_act: NormActFactory, task: ProxyTask) -> dict[str, float]:
  """Returns the seconds of a training step by architecture, without those that do not train."""
  times = {}
  for architecture in task.architectures:
    try:
      training = Training(task, architecture, norm_act, {})
      training.train(min(BASE_STEPS, task.steps))
      if training.step_seconds:
        times[architecture.family] = training.step_seconds
    except Exception as e:  # what a cost lacks must not cost a candidate its outcome
      logging.warning('No step times in %s, since BN-ReLU does not train: %s', architecture.family, e)
  return times


def _kept(norm_act: NormActFactory) -> float | None:
  try:
    layer = norm_act()
    layer(tf.zeros([1, *SHAPE[1:]]), training=False)  # builds it
    return round(kept(layer), 3)
  except Exception as e:  # as above
    logging.warning('No count of what the layer keeps: %s', e)
    return None
