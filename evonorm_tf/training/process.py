"""What a training needs of its process and its model directory for as long as it runs, and gives back at the end."""

from collections.abc import Iterator
import contextlib
import os

import orbit
import tensorflow as tf
import tf_keras

from evonorm_tf.devices import graph_memory
from evonorm_tf.output.model_dir import lock
from evonorm_tf.training import model_settings


@contextlib.contextmanager
def reserved(model_dir: str, mode: str, settings: dict, strategy: tf.distribute.Strategy) -> Iterator[None]:
  """Keeps other trainings off `model_dir` within; raises ValueError if one runs there or it holds another model.

  Args:
    model_dir: is made in modes that train.
    mode: of the trainer.
    settings: of the model, as `model_settings.check` takes them.
    strategy: tells whether this host is the one that writes.
  """
  with contextlib.ExitStack() as stack:
    if 'train' in mode and strategy.extended.should_checkpoint:
      os.makedirs(model_dir, exist_ok=True)
      lock(stack.enter_context(open(os.path.join(model_dir, 'training.lock'), 'a', encoding='utf-8')), 'training')
      model_settings.check_or_record(model_dir, settings)
    elif 'train' not in mode or os.path.exists(os.path.join(model_dir, model_settings.FILE)):
      model_settings.check(model_dir, settings)
    yield


@contextlib.contextmanager
def process_state(policy: str) -> Iterator[None]:
  """Keras's global policy and silence of Orbit within; at the end both and TensorBoard's global step as before."""
  old_policy, step = tf_keras.mixed_precision.global_policy(), tf.summary.experimental.get_step()
  tf_keras.mixed_precision.set_global_policy(policy)
  orbit.controller.print = lambda message: None  # the log shows it better
  try:
    with graph_memory.released_gradients():
      yield
  finally:
    del orbit.controller.print
    tf.summary.experimental.set_step(step)
    tf_keras.mixed_precision.set_global_policy(old_policy)
