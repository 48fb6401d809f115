"""Accelerators by name, as tf.distribute strategies: one device, all GPUs of a host, several hosts, a TPU.

Model Garden's `distribute_utils` makes the strategies; this module counts the GPUs and checks the arguments.
"""

import functools
import json
import os

import tensorflow as tf

from evonorm_tf.errors import ArgumentError

STRATEGIES = ('one_device', 'mirrored', 'multi_worker_mirrored', 'tpu')
_TF_CONFIG = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


def get_strategy(strategy: str = 'one_device', tpu: str | None = None) -> tf.distribute.Strategy:
  """Returns a tf.distribute strategy; in one process, always the same one for the same arguments.

  Every new MirroredStrategy numbers its collective operations from the start, and TensorFlow refuses a number that
  it has seen with another shape.

  Args:
    strategy: 'one_device' (the first GPU, or the CPU), 'mirrored' (all GPUs of this host, or its logical CPUs),
      'multi_worker_mirrored' (hosts as in TF_CONFIG; it waits for them, and has to be the first use of TensorFlow) or
      'tpu'.
    tpu: the TPU's address; 'local' or None for the local one.

  Raises:
    ArgumentError: for another name, an address without a TPU, or a TF_CONFIG that does not describe hosts.
  """
  return _make_strategy(strategy, tpu)


@functools.cache  # not on `get_strategy`, where a default that is given and one that is left out would be two keys
def _make_strategy(strategy: str, tpu: str | None) -> tf.distribute.Strategy:
  if strategy not in STRATEGIES:
    raise ArgumentError(f'`strategy` must be one of {STRATEGIES}, received {strategy!r}.')
  if tpu is not None and strategy != 'tpu':
    raise ArgumentError(f"`tpu` is for strategy='tpu', received {tpu!r} for {strategy!r}.")
  if strategy == 'multi_worker_mirrored':
    _check_hosts()
    gpus = len(tf.config.list_physical_devices('GPU'))  # counting the logical ones would initialize TensorFlow
  else:
    gpus = len(tf.config.list_logical_devices('GPU'))
  if strategy == 'one_device':
    return tf.distribute.OneDeviceStrategy('GPU:0' if gpus else 'CPU:0')
  if strategy == 'mirrored' and not gpus:
    return tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices('CPU')])
  from official.common import distribute_utils  # here, because one device does without Model Garden
  try:
    return distribute_utils.get_distribution_strategy(strategy, num_gpus=gpus, tpu_address=tpu)
  except (ValueError, tf.errors.OpError) as e:  # no TPU, or a port that is taken
    raise ArgumentError(f'strategy={strategy!r} and tpu={tpu!r} cannot be used here: {e}') from e


def _check_hosts() -> None:
  """Raises ArgumentError unless the environment variable TF_CONFIG names hosts and which of them this one is."""
  text = os.environ.get('TF_CONFIG', '')
  try:
    config = json.loads(text)
    is_right = config['task']['type'] == 'worker' and config['cluster']['worker'][int(config['task']['index'])]
  except (ValueError, KeyError, TypeError, IndexError):
    is_right = False
  if not is_right:
    raise ArgumentError("`strategy='multi_worker_mirrored'` needs an environment variable TF_CONFIG such as "
                        f'{_TF_CONFIG}, received {text!r}.')
