"""Every gin file of a classifier: its schedule, optimizer and network are those of its source; two steps."""

import math
import pathlib

import gin
import numpy as np
from official.core import config_definitions
from official.modeling import optimization
from official.vision.configs import image_classification
from official.vision.modeling import factory
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.classification import trainer as classification
from evonorm_tf.classification.task import ClassificationTask
from evonorm_tf.models import backbones
from evonorm_tf.models.efficientnet import get_variant
from evonorm_tf.training.moving_average import MovingAverage

ROOT = pathlib.Path(__file__).parents[2]
# Sweeps over batch sizes have another root; see sweep_test.
FILES = {file.stem: file for file in sorted((ROOT / 'gin' / 'classification').glob('*.gin'))
         if not file.stem.endswith('batch_size')}
IMAGENET_IMAGES = 1_281_167
pytestmark = pytest.mark.usefixtures('no_configuration')
by_name = pytest.mark.parametrize('name', FILES)


def parse(name, bindings=()):
  """Parses a file; returns the arguments that it gives the root function, all objects built."""
  gin.parse_config_files_and_bindings([str(FILES[name])], list(bindings))
  return gin.get_bindings(classification.run_classification)


@by_name
def test_the_backbone_is_one_of_ours(name):
  assert isinstance(parse(name)['backbone'], backbones.NormActBackbone)


@pytest.mark.parametrize('name', [name for name in FILES if name.startswith('imagenet')])
def test_the_folder_of_imagenet_is_a_macro(name, tmp_path):
  data = parse(name, [f"DATA_DIR = '{tmp_path}'"])['data']
  assert data.data_dir == str(tmp_path) and data.train_images == IMAGENET_IMAGES
  with pytest.raises(ValueError, match='`data_dir` must be a TFDS folder'):
    data.check()


def optimizer_config(arguments, images=None):
  """Model Garden's configuration of the optimizer, and the steps of an epoch."""
  steps_per_epoch = (images or arguments['data'].train_images) / arguments['batch_size']
  steps = round(arguments['epochs'] * steps_per_epoch)
  return arguments['optimization'].config(arguments['batch_size'], steps_per_epoch, steps), steps_per_epoch


def cosine(height, epochs):
  return lambda epoch: height / 2 * (1 + math.cos(math.pi * epoch / epochs))


def exponential(height, rate, decay_epochs):
  return lambda epoch: height * rate**(epoch // decay_epochs)


# Name -> images, epochs of warm-up, and the rate at an epoch behind it; heights are those for the file's batch.
SCHEDULES = {
    'cifar10_resnet20': (5_000, 1, cosine(.05, 12)),
    'cifar10_resnet50': (50_000, 0, cosine(.1, 200)),
    'cifar10_mobilenet_v2': (50_000, 0, cosine(.1, 200)),
    'cifar10_efficientnet_b0': (50_000, 0, cosine(.1, 200)),
    'imagenet_resnet50': (IMAGENET_IMAGES, 5, lambda epoch: .4 * .1**sum(epoch > end for end in (30, 60, 80))),
    'imagenet_resnet50_strong': (IMAGENET_IMAGES, 5, cosine(.4, 180)),
    'imagenet_mobilenet_v2': (IMAGENET_IMAGES, 0, exponential(8 * .045, .98, 2.5)),
    'imagenet_mnasnet_b1': (IMAGENET_IMAGES, 5, exponential(.064, .97, 2.4)),
    'imagenet_efficientnet_b0': (IMAGENET_IMAGES, 5, exponential(.256 / 2, .97, 2.4)),  # 0.256 is for 4,096 images
    'imagenet_efficientnet_b5': (IMAGENET_IMAGES, 5, exponential(.256 / 8, .97, 2.4)),
}


@by_name
def test_the_learning_rate_is_that_of_the_source(name):
  images, warmup, rate = SCHEDULES[name]
  arguments = parse(name)
  config, steps_per_epoch = optimizer_config(arguments, images)
  schedule = optimization.OptimizerFactory(config).build_learning_rate()
  # Away from the edges of stairs: they and the number of steps are rounded.
  epochs = (0.1, 2.3, 5.7, 11.3, 31.1, 59.1, 61.3, 79.3, 81.1, 179.3, 349.1)
  for epoch in [epoch for epoch in epochs if epoch < arguments['epochs']]:
    step = round(epoch * steps_per_epoch)
    exact = step / steps_per_epoch
    expected = rate(exact) if exact >= warmup else exact / warmup * rate(warmup)
    assert float(schedule(step)) == pytest.approx(expected, rel=2e-3, abs=1e-5), epoch


SGD = (tf_keras.optimizers.legacy.SGD, {'momentum': .9, 'nesterov': True}, None)
RMSPROP = (tf_keras.optimizers.legacy.RMSprop, {'rho': .9, 'momentum': .9, 'epsilon': 1e-3, 'centered': False}, .9999)
OPTIMIZERS = {
    'cifar10_resnet20': SGD, 'cifar10_resnet50': SGD, 'cifar10_mobilenet_v2': SGD, 'cifar10_efficientnet_b0': SGD,
    'imagenet_resnet50': SGD, 'imagenet_resnet50_strong': SGD,
    'imagenet_mobilenet_v2': (RMSPROP[0], {**RMSPROP[1], 'epsilon': 1.}, .9999),
    'imagenet_mnasnet_b1': RMSPROP, 'imagenet_efficientnet_b0': RMSPROP, 'imagenet_efficientnet_b5': RMSPROP,
}


def build_optimizer(name):
  """The optimizer as the trainer builds it."""
  config, _ = optimizer_config(parse(name), SCHEDULES[name][0])
  runtime = config_definitions.RuntimeConfig(mixed_precision_dtype='float32')
  return ClassificationTask.create_optimizer(config, runtime)


@by_name
def test_the_optimizer_is_that_of_the_source(name):
  kind, settings, decay = OPTIMIZERS[name]
  optimizer = build_optimizer(name)
  assert isinstance(optimizer, MovingAverage) == (decay is not None)
  if decay is not None:
    assert optimizer._average_decay == decay and optimizer._dynamic_decay  # as TensorFlow 1 does it with `num_updates`
    optimizer = optimizer.inner
  assert type(optimizer) is kind
  assert {key: optimizer.get_config()[key] for key in settings} == settings


@pytest.mark.parametrize('name', ['imagenet_mobilenet_v2', 'imagenet_mnasnet_b1'])
def test_rmsprop_takes_the_steps_of_tensorflow_1(name):
  """ε inside the root, the rate inside the momentum: that is what the published rates are for."""
  optimizer, epsilon = build_optimizer(name).inner, OPTIMIZERS[name][1]['epsilon']
  weight, expected, mean_square, velocity = tf.Variable([0., 0.]), 0., 0., 0.
  for step, gradient in enumerate(np.array([[.3, -.01], [-.2, .5], [.1, .1]])):
    rate = float(optimizer.learning_rate(step))
    mean_square = .9 * mean_square + .1 * gradient**2
    velocity = .9 * velocity + rate * gradient / np.sqrt(mean_square + epsilon)
    expected = expected - velocity
    optimizer.apply_gradients([(tf.constant(gradient, tf.float32), weight)])
  np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5)


# Trainable parameters with batch normalization, published for 1,000 classes and less the classes that CIFAR-10 lacks:
# ResNet-50 v2 of timm, MobileNetV2 of torchvision, MnasNet and EfficientNet of their authors.
# tf_keras's ResNet50V2 has 25,568,360 trainable parameters, of which 19,008 are biases of convolutions.
SIZES = {
    'cifar10_resnet50': 25_549_352 - 3 * 64 * (7 * 7 - 3 * 3) - 990 * 2049,
    'cifar10_mobilenet_v2': 3_504_872 - 990 * 1281,
    'cifar10_efficientnet_b0': 5_288_548 - 990 * 1281,
    'imagenet_resnet50': 25_549_352,
    'imagenet_resnet50_strong': 25_549_352,
    'imagenet_mobilenet_v2': 3_504_872,
    'imagenet_mnasnet_b1': 4_383_312,
    'imagenet_efficientnet_b0': 5_288_548,
    'imagenet_efficientnet_b5': 30_389_784,
}


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.slow] * (name in ('imagenet_efficientnet_b5', 'imagenet_resnet50_strong')))
    for name in SIZES])
def test_the_network_has_the_published_size(name):
  arguments = parse(name)
  data = arguments['data']
  shape = [data.image_size, data.image_size, 3]
  config = image_classification.ImageClassificationModel(
      num_classes=data.num_classes, input_size=shape,
      backbone=backbones.make_config(arguments['backbone'], 'bn_relu', {}))
  model = factory.build_classification_model(tf_keras.layers.InputSpec(shape=[None, *shape]), config)
  assert sum(v.shape.num_elements() for v in model.trainable_variables) == SIZES[name]


@pytest.mark.parametrize('name', ['imagenet_efficientnet_b0', 'imagenet_efficientnet_b5'])
def test_images_and_dropout_are_those_of_the_variant(name):
  arguments = parse(name)
  published = get_variant(arguments['backbone'].variant)
  assert (arguments['data'].image_size, arguments['dropout']) == (published.resolution, published.dropout)


@pytest.fixture(scope='module')
def records(tmp_path_factory):
  """The path of a TFRecord file of eight generated JPEGs, as Model Garden reads them."""
  path = str(tmp_path_factory.mktemp('imagenet') / 'records')
  rng = np.random.default_rng(0)
  with tf.io.TFRecordWriter(path) as writer:
    for label in range(1, 9):
      jpeg = tf.io.encode_jpeg(rng.integers(0, 256, (40, 48, 3), np.uint8)).numpy()
      writer.write(tf.train.Example(features=tf.train.Features(feature={
          'image/encoded': tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg])),
          'image/class/label': tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
      })).SerializeToString())
  return path


def tiny(name, records):
  """Bindings that make the file's run two steps of four images in a thin network with one block a stage."""
  backbone = parse(name)['backbone']
  bindings = [f'{type(backbone).__name__}.width_multiplier = 0.1', f'{type(backbone).__name__}.depth_multiplier = 0.01',
              'run_classification.batch_size = 4', 'run_classification.eval_batch_size = 4',
              'Optimization.warmup_epochs = 0']
  if hasattr(backbone, 'head_channels'):
    bindings.append(f'{type(backbone).__name__}.head_channels = 16')
  if not name.startswith('imagenet'):
    return [*bindings, 'run_classification.epochs = 0.0016', 'cifar10.Cifar10.data_dir = None']  # of 5,000 images
  # With the module, for the GAN's data have a class of the same name.
  images = {'data_dir': None, 'train_files': records, 'validation_files': records, 'num_classes': 8, 'train_images': 8,
            'validation_images': 8, 'image_size': 32, 'shuffle_buffer': 4}
  return [*bindings, 'run_classification.epochs = 1', *(f'imagenet.ImageNet.{k} = {v!r}' for k, v in images.items())]


def take_two_steps(name, records, model_dir, bindings=()):
  """Runs the root as the binary does; CIFAR-10's 1,000 test images are left out. Returns its result."""
  bindings = [*tiny(name, records), *bindings]
  gin.clear_config()
  gin.parse_config_files_and_bindings([str(FILES[name])], bindings)
  mode = 'train_and_eval' if name.startswith('imagenet') else 'train'
  result = gin.get_configurable(classification.run_classification)(model_dir=str(model_dir), mode=mode)
  assert tf.train.latest_checkpoint(model_dir).endswith('-2')
  return result


# It has a moving average, an evaluation and bfloat16.
@pytest.mark.slow
def test_two_steps_on_one_device(records, tmp_path):
  result = take_two_steps('imagenet_efficientnet_b0', records, tmp_path, [
      "run_classification.strategy = 'one_device'",
      "run_classification.norm_act_options = {'jit_compile': False}"])  # each shape's core would be compiled
  assert math.isfinite(result.get('validation_loss', 0.))


@pytest.mark.slow
@by_name
def test_two_steps_of_the_file(name, records, tmp_path):
  """With the file's own strategy, two replicas in ImageNet's case."""
  assert math.isfinite(take_two_steps(name, records, tmp_path).get('validation_loss', 0.))
