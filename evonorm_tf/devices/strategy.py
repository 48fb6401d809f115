"""Selection of tf.distribute strategies by name: one device, all GPUs of a host, several hosts, or a TPU.

This module checks the arguments and counts the GPUs. For more than one device, `distribute_utils` of the TensorFlow
Model Garden creates the strategy.
"""

import functools
import json
import os

import tensorflow as tf

from evonorm_tf.errors import ArgumentError

STRATEGIES = ('one_device', 'mirrored', 'multi_worker_mirrored', 'tpu')
_TF_CONFIG = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


def get_strategy(strategy: str = 'one_device', tpu: str | None = None) -> tf.distribute.Strategy:
  """Returns the tf.distribute strategy for the named accelerators.

  Within a process, the same arguments always give the same object. A second MirroredStrategy would number its
  collective operations from the start again, and TensorFlow rejects a number that it has seen with another shape.

  Args:
    strategy: one of `STRATEGIES`. 'one_device' (default) uses the first GPU, or the CPU if there is none; 'mirrored'
      uses all GPUs of this host, or its logical CPUs if there are none; 'multi_worker_mirrored' uses the hosts that the
      environment variable TF_CONFIG lists; 'tpu' uses a TPU. With several hosts, the call waits for the others and must
      be the first use of TensorFlow in the process.
    tpu: the address of the TPU, for strategy='tpu' only; None, the default, or 'local' for the local one.

  Raises:
    ArgumentError: if the strategy is unknown or cannot be used here, `tpu` is given for another strategy, or TF_CONFIG
      does not describe the hosts.
  """
  return _make_strategy(strategy, tpu)


@functools.cache  # not on `get_strategy`, where passing a default and omitting it would be two different keys
def _make_strategy(strategy: str, tpu: str | None) -> tf.distribute.Strategy:
  if strategy not in STRATEGIES:
    raise ArgumentError(f'`strategy` must be one of {STRATEGIES}, received {strategy!r}.')
  if tpu is not None and strategy != 'tpu':
    raise ArgumentError(f"`tpu` is for strategy='tpu', received {tpu!r} for {strategy!r}.")
  if strategy == 'multi_worker_mirrored':
    _check_hosts()
    gpus = len(tf.config.list_physical_devices('GPU'))  # counting logical devices would initialize TensorFlow
  else:
    gpus = len(tf.config.list_logical_devices('GPU'))
  if strategy == 'one_device':
    return tf.distribute.OneDeviceStrategy('GPU:0' if gpus else 'CPU:0')
  if strategy == 'mirrored' and not gpus:
    return tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices('CPU')])
  from official.common import distribute_utils  # imported here, because one device does not need Model Garden
  try:
    return distribute_utils.get_distribution_strategy(strategy, num_gpus=gpus, tpu_address=tpu)
  except (ValueError, tf.errors.OpError) as e:  # no TPU, or a port that is taken
    raise ArgumentError(f'strategy={strategy!r} and tpu={tpu!r} cannot be used here: {e}') from e


def _check_hosts() -> None:
  """Raises ArgumentError unless the environment variable TF_CONFIG lists the hosts and says which one this is."""
  text = os.environ.get('TF_CONFIG', '')
  try:
    config = json.loads(text)
    is_right = config['task']['type'] == 'worker' and config['cluster']['worker'][int(config['task']['index'])]
  except (ValueError, KeyError, TypeError, IndexError):
    is_right = False
  if not is_right:
    raise ArgumentError("`strategy='multi_worker_mirrored'` needs an environment variable TF_CONFIG such as "
                        f'{_TF_CONFIG}, received {text!r}.')
