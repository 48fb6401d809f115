"""Training on several hosts: the folder that each host saves to, and a check that all resume at the same step.

The hosts run the same program and synchronize in collective operations. If one host skipped such an operation, the
others would wait for it forever. Saving a checkpoint is one, because some variables are averaged over the replicas when
they are read. So all hosts save at the same steps: the first host, called the chief, to `model_dir`, and the others to
memory. `model_dir` must be on a file system that all hosts share.
"""

import os

import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.training.checkpoint_files import DamagedCheckpointsError
from evonorm_tf.training.checkpoint_files import newest_readable

_IN_MEMORY = 'ram://evonorm_tf'  # in TensorFlow's in-memory file system, which ends with the process


def own_folder(model_dir: str, strategy: tf.distribute.Strategy) -> str:
  """Returns the folder for this host's checkpoints: `model_dir` for the chief, a folder in memory for the others.

  The newest checkpoint that can be read and the best results so far are copied into the folder in memory. They
  determine where training resumes and when checkpoints are saved, which must be the same on all hosts.

  Args:
    model_dir: the path of the model directory.
    strategy: the tf.distribute strategy, which knows whether this host is the chief.
  """
  if strategy.extended.should_checkpoint:
    return model_dir
  if tf.io.gfile.exists(_IN_MEMORY):
    tf.io.gfile.rmtree(_IN_MEMORY)
  tf.io.gfile.makedirs(os.path.join(_IN_MEMORY, 'best'))
  newest = newest_readable(model_dir)
  files = ['checkpoint', *(os.path.basename(path) for path in tf.io.gfile.glob(f'{newest}.*'))] if newest else []
  for name in [*files, *_best_results(model_dir)]:
    if tf.io.gfile.exists(os.path.join(model_dir, name)):
      tf.io.gfile.copy(os.path.join(model_dir, name), os.path.join(_IN_MEMORY, name))
  return _IN_MEMORY


def _best_results(model_dir: str) -> list[str]:
  """Returns the names of the files with the best results, which do not count if their checkpoint cannot be read."""
  try:
    return ['best/info.json'] if newest_readable(os.path.join(model_dir, 'best')) else []
  except DamagedCheckpointsError:
    return []


def check_same_step(strategy: tf.distribute.Strategy, global_step: tf.Variable) -> None:
  """Raises ArgumentError on all hosts unless all have restored a checkpoint of the same step.

  Args:
    strategy: the tf.distribute strategy.
    global_step: this host's variable that counts training steps.
  """
  replicas = strategy.run(lambda: tf.reshape(global_step, [1]))
  steps = sorted(set(strategy.gather(replicas, axis=0).numpy().tolist()))
  if len(steps) > 1:
    raise ArgumentError(
        f'`model_dir` must be a folder that all hosts share, but their checkpoints are of steps {steps}.')
