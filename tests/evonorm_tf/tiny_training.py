"""Trainings of seconds: a ResNet-8 of a quarter's width on a few real images, run by run_classification."""

import dataclasses
import io

import numpy as np
from official.core import config_definitions
from official.core import train_utils
from official.vision.configs import image_classification
from official.vision.modeling import factory
from rich.console import Console
import tensorflow as tf
import tf_keras

from evonorm_tf.classification import trainer as classification
from evonorm_tf.classification.task import ClassificationTask
from evonorm_tf.data import cifar10
from evonorm_tf.data.cifar10 import Cifar10
from evonorm_tf.models import backbones
from evonorm_tf.models.backbones import ResNet
from evonorm_tf.training.optimization import Optimization
from evonorm_tf.training.resumable import ResumableTrainer

BACKBONE = ResNet(depth=8, width_multiplier=.25, small_images=True)


@dataclasses.dataclass(frozen=True)
class TinyData(Cifar10):
  """The first images of the bundled subset."""
  train_images: int = 40
  validation_images: int = 40

  def split(self, name):
    images, labels = cifar10.load_split(name)
    count = self.train_images if name == 'train' else self.validation_images
    return images[:count], labels[:count]

  def training_batches(self, batch_size, seed, first_step=0, input_context=None):
    images, labels = self.split('train')
    return cifar10.training_batches(
        cifar10.pad(images, self.padding), labels, batch_size, 32, seed, first_step, input_context)

  def evaluation_batches(self, batch_size, input_context=None):
    return cifar10.evaluation_batches(*self.split('test'), batch_size, input_context)


def run(model_dir, mode='train_and_eval', norm_act='evonorm_b0', learning_rate=.5, momentum=.9, decay='constant',
        ema_decay=None, data=TinyData(), console=None, **options):
  """Runs 2 epochs of 4 steps; returns what run_classification returns."""
  optimization = Optimization(learning_rate, options={'momentum': momentum}, decay=decay, ema_decay=ema_decay)
  arguments = dict(batch_size=10, epochs=2, steps_per_loop=1, dropout=.3, weight_decay=1e-4) | options
  return classification.run_classification(
      str(model_dir), mode, norm_act, BACKBONE, data, optimization, console=console or Console(file=io.StringIO()),
      **arguments)


def weights(folder):
  """The tensors of the newest checkpoint, without counters of saves."""
  reader = tf.train.load_checkpoint(str(folder))
  names = [n for n in reader.get_variable_to_shape_map() if n.endswith('VARIABLE_VALUE') and 'save_counter' not in n]
  return {name: reader.get_tensor(name) for name in names}


def network(folder, norm_act='evonorm_b0'):
  """The network in float32, without a trainer, with the weights of the newest checkpoint in a folder."""
  config = image_classification.ImageClassificationModel(
      num_classes=10, input_size=[32, 32, 3], backbone=backbones.make_config(BACKBONE, norm_act, {}))
  model = factory.build_classification_model(tf_keras.layers.InputSpec(shape=[None, 32, 32, 3]), config)
  path = tf.train.latest_checkpoint(str(folder))
  tf.train.Checkpoint(model=model).restore(path).expect_partial().assert_existing_objects_matched()
  return model


def evaluation(model, data=TinyData()):
  """What an evaluation should find, in float64: mean cross-entropy, share of right classes and of those of five."""
  images, labels = data.split('test')
  logits = model(cifar10.normalize(images), training=False).numpy().astype(np.float64)
  log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  ranks = (logits > np.take_along_axis(logits, labels[:, None], axis=1)).sum(axis=1)
  return {'validation_loss': -np.take_along_axis(log_p, labels[:, None], axis=1).mean(),
          'accuracy': (ranks < 1).mean(), 'top_5_accuracy': (ranks < 5).mean()}


def make_config_and_task(
    precision='float32', ema_decay=None, seed=0, jit_compile=False, data=TinyData(), batch_size=10):
  """A ClassificationTask without a run around it, and its ExperimentConfig; also sets the global policy."""
  tf_keras.mixed_precision.set_global_policy(precision)
  batches = dict(global_batch_size=batch_size)
  task = image_classification.ImageClassificationTask(
      model=image_classification.ImageClassificationModel(
          num_classes=10, input_size=[32, 32, 3], backbone=backbones.make_config(BACKBONE, 'evonorm_b0', {})),
      losses=image_classification.Losses(one_hot=True),
      train_data=image_classification.DataConfig(is_training=True, **batches),
      validation_data=image_classification.DataConfig(is_training=False, **batches))
  optimization = Optimization(4., options={'momentum': .9}, decay='constant', ema_decay=ema_decay)
  config = config_definitions.ExperimentConfig(
      runtime=config_definitions.RuntimeConfig(
          mixed_precision_dtype=precision.removeprefix('mixed_'),
          loss_scale='dynamic' if precision == 'mixed_float16' else None),
      task=task, trainer=config_definitions.TrainerConfig(optimizer_config=optimization.config(10, 4., 8)))
  return config, ClassificationTask(task, data, seed, jit_compile)


def make_trainer(evaluate=False, **options):
  config, task = make_config_and_task(**options)
  return train_utils.create_trainer(config, task, train=True, evaluate=evaluate, trainer_cls=ResumableTrainer)
