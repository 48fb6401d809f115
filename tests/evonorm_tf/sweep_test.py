"""The binary: what gin gives the sweep, what must stay between two starts, and what it says when something is wrong."""

import csv
import functools
import pathlib
import subprocess
import sys

import gin
import pytest

from evonorm_tf import sweep
from evonorm_tf.batch_size_sweep import runs as sweep_runs

pytestmark = pytest.mark.usefixtures('no_garbage')

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = ROOT / 'gin' / 'classification' / 'cifar10_batch_size.gin'
GIN = """from __gin__ import dynamic_registration

from evonorm_tf import batch_size_sweep
from tests.evonorm_tf import fake_training

batch_size_sweep.run_sweep.train = @fake_training.train
batch_size_sweep.run_sweep.norm_acts = ('bn_relu', 'evonorm_s0')
batch_size_sweep.run_sweep.batch_sizes = (8,)
batch_size_sweep.run_sweep.seeds = (0,)
fake_training.train.rate = %rate
fake_training.train.data_dir = 'here'
rate = 0.25
"""


@pytest.fixture
def main(call_binary, tmp_path):
  path = tmp_path / 'sweep.gin'
  path.write_text(GIN)
  return functools.partial(call_binary, sweep.main, file=path)


def accuracies(tmp_path):
  rows = csv.DictReader((tmp_path / 'model' / 'results.csv').read_text().splitlines())
  return {(r['norm_act'], int(r['batch_size']), int(r['seed'])): r['accuracy'] for r in rows}


def test_a_sweep_and_a_larger_one_on_the_same_folder(main, tmp_path):
  assert main() is None
  assert accuracies(tmp_path) == {('bn_relu', 8, 0): '0.25', ('evonorm_s0', 8, 0): '0.25'}
  config = (tmp_path / 'model' / 'operative_config.gin').read_text()
  assert 'run_sweep.train = @fake_training.train' in config and 'fake_training.train.rate = %rate' in config
  assert main('run_sweep.seeds = (0, 1)', 'run_sweep.norm_acts = ("bn_relu",)', 'train.data_dir = "there"') is None
  assert accuracies(tmp_path) == {('bn_relu', 8, 0): '0.25', ('bn_relu', 8, 1): '0.35'}


@pytest.mark.parametrize('binding, message', [
    ('rate = 0.5', "`settings.rate` is '0.5' here and '0.25' there"),
    ('train.data_dir = None', "`settings.fake_training.train.data_dir` is 'None' here and '(a folder)' there"),
    ('train.rate = 0.25', "`settings.fake_training.train.rate` is '0.25' here and '%rate' there"),
    ('run_sweep.train = @x/fake_training.train', "`settings.run_sweep.train` is '@x/fake_")])
def test_other_settings_of_the_training_are_refused(main, binding, message):
  assert main() is None
  code = main(binding)
  assert code.startswith('error: ') and message in code


def test_failed_runs_are_told_by_the_exit(main):
  assert main('rate = -1.') == '2 of 2 runs failed. The same command tries them again.'


@pytest.mark.parametrize('binding, message', [
    ('run_sweep.seedss = (0,)', "doesn't have a parameter named 'seedss'"), ('run_sweep.seeds =', 'Unable to parse'),
    ('run_sweep.norm_acts = ("bn_rlu",)', "error: `norm_acts` must be what get_norm_act takes, received 'bn_rlu'"),
    ('run_sweep.batch_sizes = (8, 0)', 'error: `batch_sizes` must be')])
def test_wrong_bindings(main, tmp_path, binding, message):
  code = main(binding)
  assert code.startswith('error: ') and message in code
  assert not (tmp_path / 'model').exists()


def test_ctrl_c(main, monkeypatch, capsys):
  def interrupt(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(sweep_runs, '_checked', interrupt)
  assert main() == 130
  assert capsys.readouterr().err == 'Interrupted. The same command goes on where it stopped.\n'


@pytest.mark.slow
def test_the_paper_s_sweep_makes_two_steps(main, tmp_path):
  tiny = ['run_sweep.batch_sizes = (4,)', 'run_sweep.norm_acts = ("bn_relu",)', 'run_sweep.seeds = (1,)',
          'run_classification.epochs = 0.0016', 'Optimization.warmup_epochs = 0', 'ResNet.depth = 8']
  assert main(*tiny, file=CONFIG) is None
  (accuracy,) = accuracies(tmp_path).values()
  assert 0 <= float(accuracy) <= 1
  checkpoint = tmp_path / 'model' / 'bn_relu' / 'batch_4' / 'seed_1' / 'checkpoint'
  assert 'model_checkpoint_path: "ckpt-2"' in checkpoint.read_text()
  assert set(gin.config._CONFIG) <= set(gin.config._OPERATIVE_CONFIG)  # no binding is idle
  assert f'python -m evonorm_tf.sweep --gin_file=gin/classification/{CONFIG.name} ' in CONFIG.read_text()


@pytest.mark.slow
def test_the_command_line(tmp_path):
  (tmp_path / 'sweep.gin').write_text(GIN)
  command = [sys.executable, '-m', 'evonorm_tf.sweep', f'--gin_file={tmp_path}/sweep.gin', '--model_dir=/nowhere/x']
  run = subprocess.run([*command, '--gin_bindings=run_sweep.seed = 3'], cwd=ROOT, capture_output=True, text=True,
                       check=False)
  assert run.returncode == 1 and 'Traceback' not in run.stderr and not run.stdout
  assert "error: Configurable 'run_sweep' doesn't have a parameter named 'seed'." in run.stderr
