"""What several hosts that train one model share, and what only the first of them, the chief, does.

The hosts run the same program and meet in collective operations; one that leaves out what the others do leaves them
waiting. Saving is such an operation where a variable is averaged over replicas as it is read. So all hosts save at the
same steps: the chief to `model_dir`, the others to memory. `model_dir` lies on a file system that all of them see.
"""

import os

import tensorflow as tf

from evonorm_tf.errors import ArgumentError

_IN_MEMORY = 'ram://evonorm_tf'  # TensorFlow's own file system, gone with the process


def own_folder(model_dir: str, strategy: tf.distribute.Strategy) -> str:
  """Returns the folder of this host's checkpoints: for others than the chief one in memory.

  It holds what decides where training goes on and when the next checkpoint is due, on the chief and on the others
  alike: the newest checkpoint and the best results so far.
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
  """Raises ValueError, on all hosts, unless their steps agree."""
  replicas = strategy.run(lambda: tf.reshape(global_step, [1]))
  steps = sorted(set(strategy.gather(replicas, axis=0).numpy().tolist()))
  if len(steps) > 1:
    raise ArgumentError(f'`model_dir` must be a folder that all hosts share, but their checkpoints are of steps {steps}.')
