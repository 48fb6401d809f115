"""The models of `benchmarks.models` and `benchmarks.peak_memory`, for images of 32×32, and a training step of one."""

from collections.abc import Callable
import functools

import tensorflow as tf
import tf_keras

from benchmarks.measuring.training_steps import Contender
from benchmarks.measuring.training_steps import make_optimizer
from evonorm_tf import build_mobilenet_v2
from evonorm_tf import build_resnet
from evonorm_tf import get_norm_act

CLASSES = 10
MODELS = {
    'ResNetV2-50': functools.partial(build_resnet, depth=50, num_classes=CLASSES, small_images=True,
                                     input_shape=(32, 32, 3)),
    'MobileNetV2': functools.partial(build_mobilenet_v2, num_classes=CLASSES, small_images=True,
                                     input_shape=(32, 32, 3)),
}


def make_batch(batch_size: int) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns random images, [`batch_size`, 32, 32, 3], and their labels.

  Args:
    batch_size: the number of images.
  """
  images = tf.random.stateless_normal([batch_size, 32, 32, 3], [0, 0])
  return images, tf.random.stateless_uniform([batch_size], [0, 1], 0, CLASSES, tf.int32)


def make_step(model_name: str, width_multiplier: float, contender: Contender) -> tuple[tf_keras.Model, Callable]:
  """Returns a new model and a `tf.function` of images and labels that takes a training step and returns the loss.

  Args:
    model_name: a key of `MODELS`.
    width_multiplier: the factor of the model's channels.
    contender: the layer and its mode; its options are arguments of the model's builder.
  """
  norm_act = get_norm_act(contender.layer, **contender.layer_options)
  model = MODELS[model_name](norm_act, width_multiplier=width_multiplier, **dict(contender.options))
  variables = model.trainable_variables
  optimizer = make_optimizer(variables, learning_rate=0.01)

  @functools.partial(tf.function, jit_compile=contender.mode == 'XLA')
  def step(images, labels):
    with tf.GradientTape() as tape:
      losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
      loss = tf.reduce_mean(losses)
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
    return loss

  return model, step
