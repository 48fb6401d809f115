"""Every gin file of a GAN: settings and networks are those of its source; two steps on tiny data."""

import math
import pathlib

import gin
import pytest
import tensorflow as tf

from evonorm_tf.layers.norm_act import get_norm_act
from gan import trainer as adversarial_training
from gan.training import losses
from tests.evonorm_tf import tiny_imagenet

ROOT = pathlib.Path(__file__).parents[2]
FILES = {file.stem: file for file in sorted((ROOT / 'gin' / 'gan').glob('*.gin'))}
pytestmark = pytest.mark.usefixtures('no_configuration')
by_name = pytest.mark.parametrize('name', FILES)
# Name -> images that a network sees for a step, steps of the discriminator, rates of generator and discriminator.
PUBLISHED = {
    'cifar10_32': (50, 4, 2e-4, 2e-4), 'imagenet_128': (2048, 2, 5e-5, 2e-4), 'imagenet_256': (2048, 2, 5e-5, 2e-4)}


def parse(name, bindings=()):
  """Parses a file; returns the arguments that it gives the root function, all objects built."""
  gin.parse_config_files_and_bindings([str(FILES[name])], list(bindings))
  return gin.get_bindings(adversarial_training.run_gan)


@pytest.mark.parametrize('name', PUBLISHED)
def test_the_settings_are_those_of_the_source(name):
  arguments = parse(name)
  step, adams = arguments['step'], arguments['adams']
  assert (step.batch_size * step.accumulations, step.d_steps, adams.generator_rate, adams.discriminator_rate) == (
      PUBLISHED[name])
  assert (adams.beta_1, adams.beta_2, step.ema_decay, step.orthogonal) == (0., .999, .9999, 0.)
  assert step.loss.d_loss is losses.hinge.d_loss and arguments['protocol'].samples == 50_000


@by_name
def test_layers_and_data_fit_the_networks(name, tmp_path):
  arguments = parse(name, [f"DATA_DIR = '{tmp_path}'"])
  data, networks = arguments['data'], arguments['networks']
  factory = get_norm_act(arguments['norm_act'], **arguments.get('norm_act_options', {}))
  generator = networks.make_generator(factory, data.image_size, data.num_classes)
  assert generator.resolution == data.image_size == int(name.split('_')[1])
  assert networks.make_discriminator(data.image_size, data.num_classes).num_classes == data.num_classes


@pytest.mark.slow
def test_the_networks_have_the_published_size():
  """Trainable parameters with BN-ReLU, counted by the authors' PyTorch code."""
  arguments = parse('imagenet_128')
  networks, data = arguments['networks'], arguments['data']
  generator = networks.make_generator(get_norm_act('bn_relu'), data.image_size, data.num_classes)
  discriminator = networks.make_discriminator(data.image_size, data.num_classes)
  labels = tf.zeros([1], tf.int32)
  discriminator((generator((tf.zeros([1, 120]), labels)), labels))
  sizes = [sum(v.shape.num_elements() for v in n.trainable_variables) for n in (generator, discriminator)]
  assert sizes == [70_433_988, 87_982_370]


@pytest.fixture(scope='module')
def records(tmp_path_factory):
  """The glob of eight generated JPEGs."""
  images = [tiny_imagenet.encode(tiny_imagenet.photograph(seed)) for seed in range(8)]
  return tiny_imagenet.write_records(tmp_path_factory.mktemp('imagenet'), 'train', [
      tiny_imagenet.example(image, label % 3 + 1) for label, image in enumerate(images)])


def tiny(name, records):
  """Bindings that make the file's run two steps of thin networks, and measure few samples by EfficientNet-Lite0."""
  bindings = [
      'BigGAN.channels = 1', 'StepSettings.batch_size = 2', 'run_gan.steps = 2', 'run_gan.eval_batch_size = 4',
      'run_gan.standing_batches = 1', "Protocol.feature_network = 'efficientnet_lite0'", 'Protocol.samples = 8',
      'Protocol.splits = 2', 'Protocol.kid_subset_size = 4']
  if name.startswith('imagenet'):
    return [*bindings, 'gan.data.ImageNet.data_dir = None', f"gan.data.ImageNet.train_files = '{records}'",
            'gan.data.ImageNet.num_classes = 3', 'gan.data.ImageNet.train_images = 8', 'run_gan.statistics_dir = None',
            'gan.data.ImageNet.shuffle_buffer = 4']
  return [*bindings, 'gan.data.Cifar10.data_dir = None']


@pytest.mark.slow
@pytest.mark.parametrize('strategy', ['one_device', 'mirrored'])
@by_name
def test_two_steps_and_their_scores(name, strategy, records, tmp_path):
  """Quick tests take two steps of one file: tests/gan/train_test.py."""
  gin.parse_config_files_and_bindings(
      [str(FILES[name])], [*tiny(name, records), f"run_gan.strategy = '{strategy}'"])
  result = gin.get_configurable(adversarial_training.run_gan)(model_dir=str(tmp_path), mode='train_and_eval')
  assert tf.train.latest_checkpoint(tmp_path).endswith('-2') and math.isfinite(result['fid'])


@pytest.mark.slow
def test_the_tiny_experiment_leaves_noise(tmp_path):
  """Measured: FID 282 after 80 steps, 270 after 300, 229 after 600."""
  fids = []
  for steps in (80, 600):
    gin.clear_config()
    gin.parse_config_files_and_bindings(
        [str(FILES['cifar10_32_tiny'])], [f'run_gan.steps = {steps}', 'run_gan.steps_between_evaluations = 600'])
    root = gin.get_configurable(adversarial_training.run_gan)
    fids.append(root(model_dir=str(tmp_path / 'model'), mode='train_and_eval')['fid'])
  assert fids[1] < .9 * fids[0], fids
