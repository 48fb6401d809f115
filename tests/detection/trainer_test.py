"""The detection trainer on tiny networks: a killed training, TensorBoard, evaluation, export, prediction, refusals."""

import dataclasses
import io
import json
import math
import shutil

import numpy as np
import pytest
from rich.console import Console
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

from detection import trainer
from detection.data.conversion import convert_coco
from detection.data.prepared import DataInfo
from detection.data.prepared import with_most_objects
from detection.data.sources import CocoData
from detection.results.evaluation import METRICS
from evonorm_tf.classification import trainer as classification
from evonorm_tf.training.log import TrainingLog
from evonorm_tf.training.optimization import Optimization
from tests.detection.tiny_coco import TINY_COCO
from tests.detection.tiny_mask_rcnn import MODEL
from tests.detection.tiny_mask_rcnn import run
from tests.detection.tiny_mask_rcnn import tiny_shapes
from tests.evonorm_tf.damaged_checkpoints import DAMAGES
from tests.evonorm_tf.tiny_training import TinyData
from tests.evonorm_tf.tiny_training import weights

pytestmark = pytest.mark.usefixtures('suppression_traced_once')
LOSSES = {'training_loss', 'total_loss', 'rpn_score_loss', 'rpn_box_loss', 'frcnn_cls_loss', 'frcnn_box_loss',
          'mask_loss', 'model_loss'}
AP = {f'{kind}/{name}' for kind in ('box', 'mask') for name in METRICS}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  return tiny_shapes(tmp_path_factory.mktemp('shapes'))


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
  """A training's folder and results."""
  folder = tmp_path_factory.mktemp('trained')
  return folder, run(folder, data, operative_config=lambda: 'second = 2')


def read(folder):
  """TensorBoard's own reader, of all events."""
  return event_accumulator.EventAccumulator(str(folder), {'tensors': 0}).Reload()


def scalars(folder):
  """{tag: [(step, value), ...]}."""
  events = read(folder)
  found = {tag: [(e.step, tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)]
           for tag in events.Tags()['tensors']}
  return {tag: [(step, float(value)) for step, value in values] for tag, values in found.items()
          if values[0][1].shape == () and values[0][1].dtype != object}


@pytest.fixture(scope='module')
def resumed(data, tmp_path_factory):
  """The folder of a training that is killed behind step 4, whose newest checkpoint is of step 3, and goes on."""
  folder, show = tmp_path_factory.mktemp('resumed'), TrainingLog.__call__

  def killed(log, output):
    show(log, output)
    if int(log._global_step) == 4:
      raise KeyboardInterrupt

  with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(TrainingLog, '__call__', killed)
    run(folder, data, mode='train')
  assert tf.train.latest_checkpoint(folder).endswith('ckpt-3')
  run(folder, data, mode='train')
  return folder


@pytest.mark.slow
def test_a_killed_training_goes_on_in_its_schedule(resumed):
  check_scalars_of_the_training(resumed)


def test_scalars_of_the_training(trained):
  check_scalars_of_the_training(trained[0])


def check_scalars_of_the_training(folder):
  found = scalars(folder / 'train')
  assert found.keys() == LOSSES | {'learning_rate', 'images_per_second', 'steps_per_second'}
  for tag, values in found.items():
    assert [step for step, _ in values] == [1, 2, 3, 4, 5, 6], tag
    assert all(math.isfinite(value) for _, value in values), tag
  rates = [.32 * 2 / 256 * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(1, 7)]
  assert [rate for _, rate in found['learning_rate']] == pytest.approx(rates, abs=1e-9)


def test_losses_add_up_with_the_weight_decay(trained):
  values = {tag: [value for _, value in part] for tag, part in scalars(trained[0] / 'train').items()}
  parts = np.sum([values[name] for name in LOSSES - {'training_loss', 'total_loss', 'model_loss'}], axis=0)
  np.testing.assert_allclose(values['model_loss'], parts, rtol=1e-5)
  assert values['training_loss'] == values['total_loss']
  assert (np.subtract(values['total_loss'], values['model_loss']) > 1e-4).all()


def test_evaluations_are_in_tensorboard_with_pictures(trained):
  folder, results = trained
  found = scalars(folder / 'validation')
  assert {tag for tag in found if 'by_class' not in tag} == AP | {'best_mask/AP'}
  assert {tag: values[-1] for tag, values in found.items()} == {
      tag: (6, pytest.approx(results[tag])) for tag in found}
  assert [step for step, _ in found['box/AP']] == [3, 6]
  events = read(folder / 'validation')
  for image in (1, 2, 3):
    assert [e.step for e in events.Tensors(f'validation/{image}')] == [3, 6]
  assert (folder / 'operative_config.gin').read_text() == 'second = 2'


@pytest.mark.slow
def test_mode_eval_writes_results_in_cocos_format(trained, data):
  folder, results = trained
  before = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
  again = run(folder, data, mode='eval', eval_batch_size=3)
  assert again['step'] == 6
  assert {name: again[name] for name in AP} == pytest.approx({name: results[name] for name in AP}, abs=1e-6)
  new = {str(path.relative_to(folder)) for path in folder.rglob('*')
         if path.is_file() and path.read_bytes() != before.get(path)}
  assert {path for path in new if not path.startswith('validation/')} == {'results_bbox.json', 'results_segm.json'}
  records = {kind: json.loads((folder / f'results_{kind}.json').read_text()) for kind in ('bbox', 'segm')}
  assert len(records['bbox']) == len(records['segm']) > 0
  assert {record['image_id'] for record in records['bbox']} <= {1, 2, 3}


@pytest.mark.slow
def test_export_and_predict(trained, data):
  folder, _ = trained
  exported = run(folder, data, mode='export')
  loaded = tf.saved_model.load(exported)
  assert [name.decode() for name in loaded.class_names.numpy()] == ['', 'circle', 'square', 'triangle', 'star', 'ring']
  outputs = loaded.signatures['serving_default'](images=tf.zeros([1, 50, 80, 3], tf.uint8))
  assert outputs['detection_boxes'].shape == [1, 5, 4]
  predictions = run(folder, data, mode='predict', images=f'{data.folder}/images/val/*.png')
  result = json.loads((folder / 'predictions' / 'predictions.json').read_text())
  assert (exported, predictions) == (str(folder / 'export'), str(folder / 'predictions'))
  assert [image['image'].rpartition('/')[-1] for image in result['images']] == [f'00000{i}.png' for i in (1, 2, 3)]
  assert all((folder / 'predictions' / image['picture']).exists() for image in result['images'])


def test_a_picture_may_have_any_name(tmp_path):
  for name in ('[1].png', '1.png'):
    (tmp_path / name).touch()
  assert trainer._find_images('predict', str(tmp_path / '[1].png')) == [str(tmp_path / '1.png')]  # a glob
  (tmp_path / '1.png').unlink()
  assert trainer._find_images('predict', str(tmp_path / '[1].png')) == [str(tmp_path / '[1].png')]


@pytest.mark.slow
def test_a_damaged_checkpoint_ends_bitwise_like_another_with_data_in_a_folder_of_any_name(resumed, tmp_path, caplog):
  """Like one that was resumed at the same step, for a resumed training draws flips, anchors and proposals anew."""
  folder = shutil.copytree(resumed, tmp_path / 'damaged')
  DAMAGES['bit flipped'](folder, 'ckpt-6')
  run(folder, tiny_shapes(tmp_path / 'shapes [1] {é}*'), mode='train')
  assert "ckpt-6.data-00000-of-00001' is damaged" in caplog.text and 'ckpt-3.' in caplog.text
  for name, value in weights(resumed).items():
    np.testing.assert_array_equal(weights(folder)[name], value, err_msg=name)


@pytest.mark.slow
def test_training_begins_with_the_backbone_of_a_classifier(data, tmp_path):
  classification.run_classification(
      str(tmp_path / 'classifier'), 'train', 'evonorm_s0', MODEL.config(6, 64).backbone.get(), TinyData(),
      Optimization(.5, options={'momentum': .9}), batch_size=10, epochs=1, console=Console(file=io.StringIO()))
  # At such a rate the six steps change nothing.
  run(tmp_path / 'detector', data, mode='train', norm_act='evonorm_s0', learning_rate=1e-20, weight_decay=0.,
      init_checkpoint=str(tmp_path / 'classifier'))
  classifier, detector = weights(tmp_path / 'classifier'), weights(tmp_path / 'detector')
  names = {name for name in classifier if name.startswith('backbone/') and 'OPTIMIZER_SLOT' not in name}
  assert len(names) > 20 and names <= detector.keys()
  for name in names:
    np.testing.assert_array_equal(detector[name], classifier[name], err_msg=name)
  shutil.rmtree(tmp_path / 'classifier')  # a training that goes on needs it no longer
  run(tmp_path / 'detector', data, mode='train', norm_act='evonorm_s0', learning_rate=1e-20, weight_decay=0.,
      init_checkpoint=str(tmp_path / 'classifier'), epochs=3)


@pytest.mark.parametrize('options, message', [
    (dict(norm_act='evonorm_b0'), "`norm_act` is 'evonorm_b0' here and 'bn_relu' there"),
    (dict(model=dataclasses.replace(MODEL, mask_filters=24)), '`mask_head.num_filters` is 24 here and 16 there'),
    (dict(model=dataclasses.replace(MODEL, depth=34)), '`backbone.norm_act_resnet.depth` is 34 here and 18 there'),
    (dict(momentum=.8), '`sgd.momentum` is 0.8 here and 0.9 there'), (dict(mode='eval', image_size=128), 'input_size')])
def test_checkpoints_of_another_model_are_refused(trained, data, options, message):
  before = sorted(trained[0].iterdir())
  with pytest.raises(ValueError, match=message):
    run(trained[0], data, **options)
  assert sorted(trained[0].iterdir()) == before


def test_classes_of_other_categories_are_refused(trained, data):
  """Five classes, too, but of other ids."""
  class Other:
    def read(self, console):
      ids = {1: 3, 2: 5, 3: 7, 4: 9, 5: 2**40}
      names = {number: str(number) for number in ids.values()}
      return tuple(dataclasses.replace(info, category_names=names, category_ids=ids) for info in data.read(console))

  with pytest.raises(ValueError, match=r'`category_ids` is \[3, 5, 7, 9, 1099511627776\] here and None there'):
    run(trained[0], Other())


class NoData:
  """Must not be read."""


@pytest.mark.parametrize('options, message', [
    (dict(mode='trian'), '`mode`'), (dict(precision='float8'), '`precision`'), (dict(batch_size=0), '`batch_size`'),
    (dict(epochs=-1), '`epochs`'), (dict(norm_act='evonorm_z9'), '`spec`'), (dict(mode='eval'), '`model_dir`'),
    (dict(norm_act_options={'group': 8}), '`norm_act_options`'), (dict(image_size=100), '`image_size`'),
    (dict(jit_compile=True, strategy='mirrored'), '`jit_compile=True`'),
    (dict(jit_compile=True, model=dataclasses.replace(MODEL, synchronized=True)),
     '`jit_compile=True` .*: PreActivationResNetFpn.synchronized must be False'),
    (dict(jit_compile=True, norm_act_options={'synchronized': True}), '`jit_compile=True` .*`norm_act_options`'),
    (dict(strategy='mirrored', batch_size=3), '`batch_size` must be a multiple of the 2 replicas'),
    (dict(scale_jitter=(2., 1.)), '`scale_jitter`'), (dict(shuffle_buffer=0), '`shuffle_buffer`'),
    (dict(init_checkpoint='nowhere'), "`init_checkpoint` must be a folder of checkpoints, received 'nowhere'"),
    (dict(init_checkpoint='runs/[1]'), r"`init_checkpoint` must be a path without any of"),
    (dict(images='*.png'), "`images` must be given for mode 'predict' and for no other"),
    (dict(mode='predict'), "`images` must be given for mode 'predict'"),
    (dict(mode='predict', images='nowhere/*.png'), "`images` must match image files, received 'nowhere")])
def test_bad_arguments_fail_before_any_work(tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    run(tmp_path / 'new', NoData(), **options)
  assert not (tmp_path / 'new').exists()


def test_missing_data_fail_before_any_work(tmp_path):
  with pytest.raises(ValueError, match="nowhere' must be a folder that `python -m detection.prepare` has prepared"):
    run(tmp_path / 'new', CocoData('nowhere', 'nowhere'))
  assert not (tmp_path / 'new').exists()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_training_and_keeps_good_checkpoints(tmp_path, data):
  run(tmp_path, data, mode='train', epochs=1)
  with pytest.raises(FloatingPointError, match=r'Training stopped, for .* step \d+'):
    run(tmp_path, data, learning_rate=1e30, epochs=8)
  newest = tf.train.latest_checkpoint(str(tmp_path))
  assert newest.endswith('ckpt-3')
  reader = tf.train.load_checkpoint(newest)
  names = [name for name, dtype in reader.get_variable_to_dtype_map().items() if dtype.is_floating]
  assert names and all(np.isfinite(reader.get_tensor(name)).all() for name in names)


@pytest.mark.slow
@pytest.mark.parametrize('options', [
    # With 8 channels, oneDNN's convolutions crash two replicas of one process; with 16 they do not.
    pytest.param(dict(strategy='mirrored', norm_act='evonorm_b0', norm_act_options={'synchronized': True},
                      model=dataclasses.replace(MODEL, width_multiplier=.25)), id='two replicas'),
    # S0 has no statistics that could be synchronized.
    pytest.param(dict(jit_compile=True, norm_act='evonorm_s0', model=dataclasses.replace(MODEL, synchronized=True)),
                 id='XLA'),
    pytest.param(dict(precision='mixed_bfloat16', norm_act='evonorm_s0'), id='bfloat16')])
def test_other_ways_of_computing(tmp_path, data, options):
  results = run(tmp_path, data, epochs=1, **options)
  assert results['step'] == 3 and AP <= results.keys()
  assert all(math.isfinite(value) for _, value in scalars(tmp_path / 'train')['training_loss'])


@pytest.mark.slow
@pytest.mark.skipif(not TINY_COCO.exists(), reason='needs the tiny part of COCO')
def test_real_images(tmp_path):
  folders = {}
  for split in ('train', 'val'):
    annotations, = (TINY_COCO / 'annotations').glob(f'*{split}*.json')
    images, = (path for path in (TINY_COCO / 'images').iterdir() if split in path.name)
    folders[split] = str(tmp_path / split)
    convert_coco(images, annotations, folders[split])
  results = run(tmp_path / 'model', CocoData(folders['train'], folders['val']), epochs=.2, norm_act='evonorm_s0',
                scale_jitter=(.5, 2.))
  assert results['step'] == 3 and 0 <= results['mask/AP'] <= 1


@pytest.mark.parametrize('most_objects, kept', [(None, 130), (7, 100), (150, 150)])
def test_no_object_of_a_crowded_image_becomes_background(tmp_path, most_objects, kept):
  path = tmp_path / 'annotations.json'
  path.write_text(json.dumps({'annotations': [{'image_id': i} for i in (1, *[2] * 130, 3)]}))
  info = DataInfo('', str(path), 3, {1: 'cell'}, most_objects=most_objects)
  assert trainer._data_config(True, 2, with_most_objects(info)).parser.max_num_instances == kept
