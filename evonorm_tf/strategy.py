"""Accelerator strategies by name: one device, mirrored over a host's GPUs, several hosts, TPU.

Model Garden's `distribute_utils` does the work; this module counts the GPUs and checks the name.
"""

import functools

import tensorflow as tf

STRATEGIES = ('one_device', 'mirrored', 'multi_worker_mirrored', 'tpu')


@functools.lru_cache(maxsize=None)
def get_strategy(name: str = 'one_device', tpu: str | None = None) -> tf.distribute.Strategy:
  """Returns a tf.distribute strategy, always the same one of a name in a process.

  Every new MirroredStrategy numbers its collective operations from the start, and TensorFlow refuses a number that
  it has met with another shape.

  Args:
    name: 'one_device' (the first GPU, or the CPU), 'mirrored' (all GPUs of this host, or its logical CPUs),
      'multi_worker_mirrored' (hosts as in TF_CONFIG) or 'tpu'.
    tpu: the TPU's address; None for the local one.

  Raises:
    ValueError: for another name.
  """
  if name not in STRATEGIES:
    raise ValueError(f'`name` must be one of {STRATEGIES}, received {name!r}.')
  gpus = len(tf.config.list_logical_devices('GPU'))
  if name == 'one_device':
    return tf.distribute.OneDeviceStrategy('GPU:0' if gpus else 'CPU:0')
  if name == 'mirrored' and not gpus:
    return tf.distribute.MirroredStrategy([d.name for d in tf.config.list_logical_devices('CPU')])
  from official.common import distribute_utils  # here, because one device does without Model Garden
  return distribute_utils.get_distribution_strategy(name, num_gpus=gpus, tpu_address=tpu)
