"""The scripts of examples/, run small, from outside the package."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

EXAMPLES = pathlib.Path(__file__).parents[2] / 'examples'
NAMES = sorted(path.stem for path in EXAMPLES.glob('*.py') if path.stem != 'small_task')

pytestmark = pytest.mark.slow


def run(code, folder):
  """Runs code in the folder of the examples, with their modules; returns what it prints."""
  ran = subprocess.run([sys.executable, '-c', code], cwd=EXAMPLES, capture_output=True, text=True, check=False,
                       timeout=600)
  assert ran.returncode == 0, ran.stderr[-3000:]
  return ran.stdout


def records(folder):
  lines = (folder / 'journal.jsonl').read_text().splitlines()
  return json.loads(lines[0])['config'], [json.loads(line) for line in lines[1:] if '"stage"' in line]


def test_each_example_is_in_the_table():
  table = (EXAMPLES / 'README.md').read_text()
  assert all(f'`{name}.py`' in table for name in NAMES) and len(NAMES) == 11


@pytest.mark.parametrize('name', ['keras', 'tf_keras'])
def test_a_layer_in_either_keras_learns(name, tmp_path):
  printed = run(f"import layer_in_keras; layer_in_keras.main('{name}', images=1600)", tmp_path)
  accuracies = [float(line.split(': ')[1].split('%')[0]) for line in printed.splitlines()]
  assert len(accuracies) == 3 and min(accuracies) > 15  # chance is 10


def test_a_converted_network_is_folded_with_the_same_outputs(tmp_path):
  printed = run(f"import convert_and_fine_tune as c; assert c.main('{tmp_path}', images=640) < 1e-3", tmp_path)
  assert 'left over: []' in printed and (tmp_path / 'converted.keras').exists()


def test_an_own_block_is_converted(tmp_path):
  printed = run('import own_block; own_block.main()', tmp_path)
  assert "('block_0', 'block_1', 'block_2') now have ['EvoNormB0', 'EvoNormB0']" in printed
  assert 'left over: []' in printed


def test_a_search_from_python(tmp_path):
  printed = run(f"import search_from_python; search_from_python.main('{tmp_path}', candidates=12)", tmp_path)
  assert '<Search' in printed and (tmp_path / 'progress.png').stat().st_size > 5000
  assert any('hparams' in path.read_bytes().decode('latin1') for path in (tmp_path / 'tensorboard').iterdir())


def test_an_own_primitive_and_index_set(tmp_path):
  printed = run(f"import own_primitive; own_primitive.main('{tmp_path}', candidates=25)", tmp_path)
  config, found = records(tmp_path)
  assert set(config['registered']) == {'softsign', 'h'}
  used = {name for r in found if r['stage'] == 'evolution' for node in r['graph']['nodes']
          for name in (node['primitive'], node.get('axes'))}
  assert {'softsign', 'h'} <= used
  check = f"""
import importlib.util, numpy as np, own_primitive, tf_keras
from evonorm_tf import get_norm_act
spec = importlib.util.spec_from_file_location('own_layer', '{tmp_path}/own_layer.py')
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
x = np.random.default_rng(0).normal(size=(2, 5, 4, 8)).astype('float32')
a, b = module.OwnLayer(), get_norm_act('{tmp_path}/own.json', groups=4)()
np.testing.assert_allclose(a(x, training=True), b(x, training=True), rtol=1e-4, atol=1e-5)
"""
  run(check, tmp_path)
  assert 'own_layer.py' in printed
  for command, written in ((['search.analyze', f'--model_dir={tmp_path}'], 'analysis/report.md'),
                           (['search.compile_layer', f'--layer={tmp_path}', f'--output={tmp_path}/best.py'], 'best.py'),
                           (['search.audit_equivalence', f'--model_dir={tmp_path}'], 'journal.jsonl')):
    command = [sys.executable, '-m', *command, '--import_module=own_primitive']
    compared = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert compared.returncode == 0 and (tmp_path / written).exists(), compared.stderr
  look = f"import search; search.Search('{tmp_path}')"
  refused = subprocess.run([sys.executable, '-c', look], capture_output=True, text=True, check=False)
  assert "needs 'h', 'softsign', not registered" in refused.stderr


def test_an_own_network(tmp_path):
  run(f"import own_network; own_network.main('{tmp_path}', candidates=6)", tmp_path)
  config, found = records(tmp_path)
  assert config['evaluation']['task']['architectures'][0]['build'] == 'plain_net'
  assert next(iter(found[0]['scores'])) == 'plain_net'


def test_own_images_are_learnt(tmp_path):
  run(f"import own_images; own_images.main('{tmp_path}', candidates=6)", tmp_path)
  config, found = records(tmp_path)
  assert config['evaluation']['task']['data'] == 'spectrograms'
  assert found[0]['name'] == 'bn_relu' and found[0]['scores']['resnet'] > .5  # chance is .25


def test_another_image_set_of_tfds(tmp_path):
  tfds = pytest.importorskip('tensorflow_datasets')
  rng = np.random.default_rng(0)

  def examples(count):
    labels = np.arange(count) % 3
    images = rng.integers(0, 60, (count, 12, 10, 1)) + 60 * labels[:, None, None, None]
    return tf.data.Dataset.from_tensor_slices({'image': images.astype(np.uint8), 'label': labels})

  features = tfds.features.FeaturesDict({
      'image': tfds.features.Image(shape=(12, 10, 1)), 'label': tfds.features.ClassLabel(num_classes=3)})
  tfds.dataset_builders.store_as_tfds_dataset(
      name='grey_levels', version='1.0.0', features=features, data_dir=tmp_path / 'tfds',
      split_datasets={'train': examples(900), 'test': examples(60)})
  run(f"""
import own_tfds, small_task
task = small_task.small_task
own_tfds.small_task = lambda **changes: task(**changes | dict(validation_images=300))
own_tfds.main('grey_levels', '{tmp_path}/tfds', '{tmp_path}/run', candidates=4)
""", tmp_path)
  _, found = records(tmp_path / 'run')
  assert found[0]['scores']['resnet'] > .5


def test_an_own_strategy_is_refused_with_other_settings(tmp_path):
  run(f"import own_strategy; own_strategy.main('{tmp_path}', candidates=14)", tmp_path)
  config, found = records(tmp_path)
  assert config['strategy'] == {'class': 'Climber', 'initial_candidates': 10, 'longest_jump': 3}
  refused = subprocess.run([sys.executable, '-c', f"""
import own_strategy, search
from small_task import small_evaluation
search.run(model_dir='{tmp_path}', evolution=own_strategy.Climber(longest_jump=2), evaluation=small_evaluation(),
           candidates=14, references=('bn_relu',))
"""], cwd=EXAMPLES, capture_output=True, text=True, check=False)
  assert 'longest_jump' in refused.stderr and 'ModelDirError' in refused.stderr


def test_an_own_objective_and_test(tmp_path):
  run(f"import own_objective_and_test; own_objective_and_test.main('{tmp_path}', candidates=14)", tmp_path)
  config, found = records(tmp_path)
  assert config['strategy']['objective'] == 'accurate_and_small' and config['reranking']['evaluation']['tests'] == []
  assert all(r['outcome'] == 'accepted' for r in found if r['stage'] == 'reranking' and r['index'] is None)
  assert config['evaluation']['tests'] == [{'class': 'PredictsMostClasses', 'images': 200}]


def test_an_own_evaluation(tmp_path):
  run(f"import own_evaluation; own_evaluation.main('{tmp_path}', candidates=8)", tmp_path)
  config, found = records(tmp_path)
  assert config['evaluation'] == {'class': 'Denoising', 'steps': 120, 'size': 16, 'seed': 0}
  assert found[0]['name'] == 'bn_relu' and .3 < found[0]['scores']['denoiser'] < 1.
  assert {r['outcome'] for r in found if r['stage'] == 'evolution'} - {'failed'}
  assert len([r for r in found if r.get('name') == 'bn_relu' and r['stage'] == 'reranking']) == 3


@pytest.mark.parametrize('name', ['own_primitive', 'own_network', 'own_images', 'own_objective_and_test'])
def test_what_a_script_defines_reaches_its_workers(tmp_path, name):
  # As a user's script: without a guard, its own module as the main program.
  script = (EXAMPLES / f'{name}.py').read_text().replace(
      "if __name__ == '__main__':\n  main()", f"main('{tmp_path}/run', candidates=6, workers=2)")
  (tmp_path / 'script.py').write_text('import sys\nsys.path.insert(0, ' + repr(str(EXAMPLES)) + ')\n' + script)
  ran = subprocess.run([sys.executable, tmp_path / 'script.py'], capture_output=True, text=True, check=False,
                       timeout=600)
  assert ran.returncode == 0, ran.stderr[-3000:]
  config, found = records(tmp_path / 'run')
  evolved = [r for r in found if r['stage'] == 'evolution']
  assert len(evolved) == 6 and {r['outcome'] for r in evolved} - {'failed'}
