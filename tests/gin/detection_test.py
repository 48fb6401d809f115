"""Every gin file of a detector: its network, schedule and optimizer are those of its source; two steps."""

import math
import pathlib

import gin
from official.core import config_definitions
from official.modeling import optimization
import pytest
import tensorflow as tf
import tf_keras

from detection import trainer as mask_rcnn
from detection.data import sources
from evonorm_tf.training.moving_average import make_optimizer

ROOT = pathlib.Path(__file__).parents[2]
FILES = {file.stem: file for file in sorted((ROOT / 'gin' / 'detection').glob('*.gin'))}
COCO_IMAGES = 118_287
pytestmark = pytest.mark.usefixtures('no_configuration')
by_name = pytest.mark.parametrize('name', FILES)
of_coco = pytest.mark.parametrize('name', [name for name in FILES if name.startswith('coco')])


def parse(name, bindings=()):
  """Parses a file; returns the arguments that it gives the root function, all objects built."""
  gin.parse_config_files_and_bindings([str(FILES[name])], list(bindings))
  return gin.get_bindings(mask_rcnn.run_mask_rcnn)


@by_name
def test_the_network_takes_the_image_size(name):
  arguments = parse(name)
  assert arguments['model'].config(91, arguments['image_size']).num_classes == 91


@of_coco
def test_the_folders_of_coco_are_macros(name):
  arguments = parse(name, ["TRAIN = 'a'", "VALIDATION = 'b'"])
  assert arguments['data'] == sources.CocoData('a', 'b')


def stepwise(height, *boundaries):
  return lambda step: height * .1**sum(step > boundary for boundary in boundaries)


SPINENET = COCO_IMAGES, 350 * 462, 2_000, stepwise(.28, 320 * 462, 340 * 462), (.5, 2.), 4e-5

# Name -> training images, steps, warm-up steps, the rate behind them, scale jitter, weight decay.
SOURCES = {
    'coco_finetune_resnet50_fpn': (COCO_IMAGES, 90_000, 500, stepwise(.02, 60_000, 80_000), (1., 1.), 1e-4),
    'coco_resnet50_fpn': SPINENET,
    'coco_spinenet96': SPINENET,
    'nuclei_resnet18_fpn': (120, 600, 60, lambda step: .02 * (1 + math.cos(math.pi * step / 600)), (.8, 1.25), 4e-5),
    'shapes_resnet18_fpn': (800, 480, 50, lambda step: .02 * (1 + math.cos(math.pi * step / 480)), (1., 1.), 4e-5)}


def optimizer_config(arguments, images):
  """Model Garden's configuration of the optimizer, and the steps of the training."""
  steps_per_epoch = images / arguments['batch_size']
  steps = round(arguments['epochs'] * steps_per_epoch)
  return arguments['optimization'].config(arguments['batch_size'], steps_per_epoch, steps), steps


@by_name
def test_the_schedule_is_that_of_the_source(name):
  images, expected_steps, warmup, rate, _, _ = SOURCES[name]
  config, steps = optimizer_config(parse(name), images)
  assert steps == pytest.approx(expected_steps, rel=1e-3)
  schedule = optimization.OptimizerFactory(config).build_learning_rate()
  for part in (.001, .1, .5, .6, .7, .85, .95, .99):  # away from the edges, which are rounded
    step = round(part * expected_steps)
    expected = rate(step) if step >= warmup else step / warmup * rate(warmup)
    assert float(schedule(step)) == pytest.approx(expected, rel=5e-3, abs=1e-5), step


@by_name
def test_optimizer_and_augmentation_are_those_of_the_source(name):
  images, *_, jitter, decay = SOURCES[name]
  arguments = parse(name)
  assert arguments.get('scale_jitter', (1., 1.)) == jitter and arguments['weight_decay'] == decay
  config, _ = optimizer_config(arguments, images)
  optimizer = make_optimizer(config, config_definitions.RuntimeConfig(mixed_precision_dtype='float32'))
  assert type(optimizer) is tf_keras.optimizers.legacy.SGD
  assert optimizer.get_config()['momentum'] == .9 and not optimizer.get_config()['nesterov']


@pytest.mark.parametrize('name, synchronized', [
    ('coco_resnet50_fpn', True), ('coco_spinenet96', True), ('coco_finetune_resnet50_fpn', False)])
def test_statistics_are_those_of_the_batch_or_of_a_replica(name, synchronized):
  arguments = parse(name)
  assert arguments['model'].config(91, 1024).norm_activation.use_sync_bn == synchronized
  assert 'synchronized' not in arguments.get('norm_act_options', {})
  if not synchronized:
    assert arguments['batch_size'] / 8 == 2


THIN = [f'{key} = {value}' for key, value in {
    'rpn_filters': 8, 'box_filters': 8, 'box_convs': 1, 'box_units': 16, 'mask_filters': 8, 'mask_convs': 1,
    'pre_nms_top_k': 30, 'num_proposals': 15, 'test_pre_nms_top_k': 30, 'test_num_proposals': 15,
    'num_sampled_rois': 8, 'num_sampled_masks': 4, 'detection_pre_nms_top_k': 30, 'max_num_detections': 5}.items()]


@pytest.mark.slow
@pytest.mark.parametrize('norm_act', ['evonorm_b0', 'bn_relu'])
@by_name
def test_two_steps_of_the_file(name, norm_act, tmp_path, monkeypatch):
  """With the file's own network, thinned, on one device and generated shapes."""
  infos = sources.ShapesData(str(tmp_path / 'shapes'), train=4, validation=2, size=64).read()
  for data in (sources.CocoData, sources.ShapesData):
    monkeypatch.setattr(data, 'read', lambda *_: infos)
  kind = type(parse(name)['model']).__name__
  gin.clear_config()
  bindings = [f"NORM_ACT = '{norm_act}'", "run_mask_rcnn.strategy = 'one_device'", 'run_mask_rcnn.image_size = 128',
              'run_mask_rcnn.batch_size = 2', 'run_mask_rcnn.eval_batch_size = 2', 'run_mask_rcnn.epochs = 1',
              'run_mask_rcnn.init_checkpoint = None', 'Optimization.warmup_epochs = .5',
              *(f'{kind}.{binding}' for binding in THIN)]
  if kind == 'ResNetFpn':
    bindings.append(f'{kind}.depth = 10')
  if kind == 'PreActivationResNetFpn':
    bindings += [f'{kind}.depth_multiplier = 0.01', f'{kind}.width_multiplier = 0.125', f'{kind}.fpn_filters = 8']
  if kind == 'SpineNet':
    bindings.append(f"{kind}.variant = '49S'")
  gin.parse_config_files_and_bindings([str(FILES[name])], bindings)
  result = gin.get_configurable(mask_rcnn.run_mask_rcnn)(model_dir=str(tmp_path / 'model'), mode='train_and_eval')
  assert tf.train.latest_checkpoint(tmp_path / 'model').endswith('-2') and 0 <= result['mask/AP'] <= 1
