"""Every gin file of a trainer is parsed and binds what its root function takes, no more; its head has the command."""

import inspect
import pathlib

import gin
import pytest

from detection import trainer as mask_rcnn
from evonorm_tf.classification import trainer as classification
from gan import trainer as adversarial_training

ROOT = pathlib.Path(__file__).parents[2]
# Folder -> binary, root function, misspelt bindings and the words that are wrong in them.
TRAINERS = {
    'classification': (
        'evonorm_tf.train', classification.run_classification,
        ('run_classification.epoch = 3', 'Optimization.lr = 3', 'run_clasification.epochs = 3'),
        "'(epoch|lr|run_clasification)'"),
    'detection': (
        'detection.train', mask_rcnn.run_mask_rcnn,
        ('run_mask_rcnn.epoch = 3', 'Optimization.lr = 3', 'run_mask_rcn.epochs = 3'), "'(epoch|lr|run_mask_rcn)'"),
    'gan': (
        'gan.train', adversarial_training.run_gan,
        ('run_gan.epochs = 3', 'Adams.lr = 3', 'run_biggan.steps = 3'), "'(epochs|lr|run_biggan)'")}
# Sweeps over batch sizes have another root; see sweep_test.
FILES = [f'{folder}/{file.stem}' for folder in TRAINERS for file in sorted((ROOT / 'gin' / folder).glob('*.gin'))
         if not file.stem.endswith('batch_size')]
pytestmark = pytest.mark.usefixtures('no_configuration')
by_name = pytest.mark.parametrize('name', FILES)


def trainer_of(name):
  return TRAINERS[name.partition('/')[0]]


def parse(name, bindings=()):
  """Parses a file; returns the arguments that it gives the root function, all objects built."""
  gin.parse_config_files_and_bindings([str(ROOT / 'gin' / f'{name}.gin')], list(bindings))
  return gin.get_bindings(trainer_of(name)[1])


@by_name
def test_the_root_function_gets_its_arguments(name):
  inspect.signature(trainer_of(name)[1]).bind('model_dir', 'train', **parse(name))


@by_name
def test_no_binding_is_idle(name):
  """A binding of an object that the root does not get would be parsed without a complaint, and change nothing."""
  parse(name)
  root = trainer_of(name)[1]
  bound, used = ({selector for _, selector in config} for config in (gin.config._CONFIG, gin.config._OPERATIVE_CONFIG))
  assert bound - used == {gin.config._INVERSE_REGISTRY[root].selector}


@by_name
def test_one_macro_changes_the_layer(name):
  assert parse(name, ["NORM_ACT = 'gn_relu'"])['norm_act'] == 'gn_relu'


@by_name
def test_misspelt_bindings_fail_when_parsed(name):
  *_, bindings, words = trainer_of(name)
  for binding in bindings:
    with pytest.raises(ValueError, match=words):
      parse(name, [binding])


@by_name
def test_the_header_tells_the_command(name):
  header = (ROOT / 'gin' / f'{name}.gin').read_text().partition('\nfrom __gin__')[0]
  assert f'python -m {trainer_of(name)[0]} --gin_file=gin/{name}.gin --model_dir=' in header
