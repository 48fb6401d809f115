"""The binary: what it says when something is wrong, and that it draws pictures of what it has trained."""

import functools
import pathlib

from absl import app
import pytest
import tensorflow as tf

from evonorm_tf.data import cifar10
from gan import train

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = ROOT / 'gin' / 'gan' / 'cifar10_32_tiny.gin'
TINY = ('BigGAN.channels = 1', 'BigGAN.z_size = 8', 'StepSettings.batch_size = 4', 'run_gan.steps = 2',
        "NORM_ACT = 'gn_relu'")


@pytest.fixture
def main(call_binary):
  return functools.partial(call_binary, train.main, file=CONFIG)


@pytest.mark.parametrize('options, message', [
    (dict(bindings=['run_gan.step_count = 3']), "doesn't have a parameter named 'step_count'"),
    (dict(bindings=["NORM_ACT = 'evonorm_s9'"]), '`spec` must be one of '),
    (dict(bindings=["StepSettings.loss = 'hinge'"]), '`StepSettings.loss` must be an object of GanLoss'),
    (dict(bindings=['BigGAN.hierarchical = True']), 'needs a `shared_size`'),
    (dict(bindings=['Protocol.samples = 1']), '`samples`'),
    (dict(mode='export'), "`mode` must be one of ('train', 'eval', 'train_and_eval', 'sample'), received 'export'."),
    (dict(mode='sample'), '`model_dir` must hold a checkpoint'),
    (dict(truncation=.5), "`truncation` is for mode 'sample' alone"),
    (dict(classes=['3']), "`classes` is for mode 'sample' alone"),
    (dict(mode='sample', classes=['3', '10']), '`classes` must be labels from 0 to 9')])
def test_wrong_commands_read_no_data_and_make_no_folder(main, tmp_path, monkeypatch, options, message):
  monkeypatch.setattr(cifar10, 'load_split', None)
  code = main(*options.pop('bindings', []), **options)
  assert code.startswith('error: ') and message in code
  assert not (tmp_path / 'model').exists()


def test_classes_are_integers(main):
  with pytest.raises(app.UsageError, match='--classes must be integers such as 0,3,7'):
    main(mode='sample', classes=['cat'])


@pytest.mark.slow
def test_training_and_pictures(main, tmp_path):
  assert main(*TINY, mode='train') is None
  assert tf.train.latest_checkpoint(tmp_path / 'model').endswith('-2')
  assert main(*TINY, mode='sample', truncation=.5, classes=['3', '1']) is None
  picture = tf.io.decode_png(tf.io.read_file(str(tmp_path / 'model' / 'samples' / 'samples.png')))
  assert picture.shape == [64, 320, 3]
  assert (tmp_path / 'model' / 'operative_config.gin').read_text().count('run_gan.networks = @networks.BigGAN()') == 1
