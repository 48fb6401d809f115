"""Trainings on several hosts: which folder each of them saves to, and a check that they resume at the same step.

The hosts run the same program and meet in collective operations; if one host left an operation out, the others would
wait for it. Saving is such an operation where a variable is averaged over replicas as it is read. So all hosts save at
the same steps: the first of them, the chief, to `model_dir`, the others to memory. `model_dir` must be on a file system
that all hosts share.
"""

import os

import tensorflow as tf

from evonorm_tf.errors import ArgumentError

_IN_MEMORY = 'ram://evonorm_tf'  # TensorFlow's own file system, gone with the process


def own_folder(model_dir: str, strategy: tf.distribute.Strategy) -> str:
  """Returns the folder of this host's checkpoints: `model_dir` for the chief, a folder in memory for the others.

  The folder in memory receives copies of the newest checkpoint and of the best results so far. They decide where
  training goes on and when the next checkpoint is due, and have to be the same on all hosts.
  """
  if strategy.extended.should_checkpoint:
    return model_dir
  if tf.io.gfile.exists(_IN_MEMORY):
    tf.io.gfile.rmtree(_IN_MEMORY)
  tf.io.gfile.makedirs(os.path.join(_IN_MEMORY, 'best'))
  newest = tf.train.latest_checkpoint(model_dir)
  files = ['checkpoint', *(os.path.basename(path) for path in tf.io.gfile.glob(f'{newest}.*'))] if newest else []
  for name in [*files, 'best/info.json']:
    if tf.io.gfile.exists(os.path.join(model_dir, name)):
      tf.io.gfile.copy(os.path.join(model_dir, name), os.path.join(_IN_MEMORY, name))
  return _IN_MEMORY


def check_same_step(strategy: tf.distribute.Strategy, global_step: tf.Variable) -> None:
  """Raises ArgumentError on all hosts unless their steps agree."""
  replicas = strategy.run(lambda: tf.reshape(global_step, [1]))
  steps = sorted(set(strategy.gather(replicas, axis=0).numpy().tolist()))
  if len(steps) > 1:
    raise ArgumentError(
        f'`model_dir` must be a folder that all hosts share, but their checkpoints are of steps {steps}.')
