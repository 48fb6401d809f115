"""What the binaries print at the default log level: their own lines, and none of TensorFlow, XLA, Keras or absl."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
NOISE = re.compile(  # of TensorFlow and XLA in two forms, of absl, and of Python's warnings
    r'^\d{4}-\d\d-\d\d [\d:.]+: [IWEF] |^[IWEF]\d{4} |^WARNING: All log messages|^\w*:tensorflow:|[Cc]ustom gradient'
    r'|\w*Warning: |cuInit|MLIR|oneDNN|Created device|Compiled cluster', re.MULTILINE)

CLASSIFIER = ('evonorm_tf.train', 'classification/cifar10_resnet20.gin', 'run_classification.epochs = 0.05',
              'ResNet.depth = 8', 'run_classification.epochs_between_evaluations = 0.05',
              'Optimization.warmup_epochs = 0')
DETECTOR = ('detection.train', 'detection/shapes_resnet18_fpn.gin', 'run_mask_rcnn.epochs = 0.5',
            'run_mask_rcnn.epochs_between_evaluations = 0.5', 'run_mask_rcnn.epochs_between_checkpoints = 0.5',
            'run_mask_rcnn.image_size = 64', 'ShapesData.train = 8', 'ShapesData.validation = 4',
            'Optimization.warmup_epochs = 0.25')
GAN = ('gan.train', 'gan/cifar10_32_tiny.gin', 'run_gan.steps = 2', 'run_gan.steps_between_evaluations = 2',
       'run_gan.steps_between_checkpoints = 2', 'run_gan.standing_batches = 1', 'Protocol.samples = 100',
       'Protocol.splits = 2', 'Protocol.kid_subset_size = 50')


def screen(module, *arguments):
  """Runs a binary as a user does, and returns what it prints, errors among it."""
  environment = {k: v for k, v in os.environ.items() if not k.startswith(('TF_', 'XLA_', 'ABSL_', 'KERAS_'))}
  ended = subprocess.run([sys.executable, '-m', module, *map(str, arguments)], cwd=ROOT, env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
  assert ended.returncode == 0, ended.stdout
  return ended.stdout


def trained(folder, module, gin_file, *bindings, mode=None):
  return screen(module, f'--gin_file=gin/{gin_file}', f'--model_dir={folder}', *(f'--mode={m}' for m in [mode] if m),
                *(f'--gin_bindings={binding}' for binding in bindings))


def test_the_pattern_finds_what_tensorflow_prints():
  for line in ('2026-11-30 13:38:42.536217: I external/local_xla/xla/tsl/cuda/cudart_stub.cc:31] Could not find cuda',
               'I0000 00:00:1796046339.184936    6098 cuda_platform.cc:52] failed call to cuInit',
               'WARNING:tensorflow:5 out of the last 5 calls', '/a/b.py:97: UserWarning: layout not applied'):
    assert NOISE.search(f'Configuration: a.gin\n{line}\n')
  assert not NOISE.search('references 0/1 (0%), elapsed 0:00:00\nW x 3\n')


@pytest.mark.slow
def test_a_search_and_what_looks_at_it(tmp_path):
  shown = [screen('search.run_search', '--gin_file=gin/search/smoke.gin', f'--model_dir={tmp_path}/a')]
  shown += [screen('search.analyze', f'--model_dir={tmp_path}/a'),
            screen('search.compile_layer', f'--layer={tmp_path}/a', f'--output={tmp_path}/layer.py'),
            screen('search.compile_layer', '--layer=found_1', '--keras=3', f'--output={tmp_path}/layer_3.py'),
            screen('search.audit_equivalence', '--graphs=20')]
  assert not [NOISE.findall(text) for text in shown if NOISE.search(text)]


@pytest.mark.slow
def test_a_study(tmp_path):
  shown = screen('search.run_study', '--gin_file=gin/search/study.gin', f'--model_dir={tmp_path}/study', *(
      f'--gin_bindings={binding}' for binding in (
          "study.run_study.settings = {'random': ('evolution.run_search.strategy = @proposal.RandomSearch()',)}",
          'study.run_study.seeds = (0,)', 'evolution.run_search.candidates = 3', 'proxy_task.ProxyTask.steps = 2',
          'evaluation.Evaluation.quality = None')))
  assert shown and not NOISE.findall(shown)


@pytest.mark.slow
@pytest.mark.parametrize('settings', [CLASSIFIER, DETECTOR, GAN], ids=['classifier', 'detector', 'gan'])
def test_a_training_and_its_resumption(settings, tmp_path):
  first = trained(tmp_path, *settings)
  mode = 'sample' if settings is GAN else 'export'
  shown = [first, trained(tmp_path, *settings), trained(tmp_path, *settings, mode=mode)]
  assert first and not [NOISE.findall(text) for text in shown if NOISE.search(text)]


@pytest.mark.slow
def test_a_sweep(tmp_path):
  shown = trained(tmp_path, 'evonorm_tf.sweep', 'classification/cifar10_batch_size.gin',
                  "run_sweep.norm_acts = ('evonorm_s0',)", 'run_sweep.batch_sizes = (64,)', 'run_sweep.seeds = (0,)',
                  'run_classification.epochs = 0.05', 'run_classification.epochs_between_evaluations = 0.05',
                  'ResNet.depth = 8', 'Optimization.warmup_epochs = 0')
  assert shown and not NOISE.findall(shown)
