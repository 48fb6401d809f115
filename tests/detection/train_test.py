"""The binary: what it says when something is wrong. In processes of their own, for another binary has --images too."""

import io
import json
import os
import pathlib
import subprocess
import sys

import pytest
from rich.console import Console

from tests.detection.tiny_mask_rcnn import tiny_shapes
from tests.two_hosts import tf_configs

ROOT = pathlib.Path(__file__).parents[2]


def start(model_dir, *arguments):
  """Runs the binary; returns the finished process."""
  command = [sys.executable, '-m', 'detection.train', f'--gin_file={ROOT}/gin/detection/coco_spinenet96.gin',
             f'--model_dir={model_dir}', *arguments]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_import_is_quick_and_help_names_the_flags():
  check = 'import sys; import detection.train; print("tensorflow" in sys.modules)'
  assert subprocess.run([sys.executable, '-c', check], cwd=ROOT, capture_output=True, text=True).stdout == 'False\n'
  text = start('nowhere', '--help').stdout
  assert all(f'--{flag}' in text for flag in ('gin_file', 'gin_bindings', 'model_dir', 'mode', 'images', 'strategy'))


@pytest.mark.slow
@pytest.mark.parametrize('arguments, message', [
    (["--gin_bindings=CocoData.train = 'no/train'", '--strategy=one_device'],
     "error: 'no/train' must be a folder that `python -m detection.prepare` has prepared to the end"),
    (['--mode=predict', '--images=no/such/*.png'], "error: `images` must match image files, received 'no/such/*.png'")])
def test_errors_are_lines_and_no_tracebacks(tmp_path, arguments, message):
  run = start(tmp_path / 'new', *arguments)
  assert (run.returncode, run.stdout) == (1, '') and not (tmp_path / 'new').exists()
  assert message in run.stderr and 'Traceback' not in run.stderr and 'In call to' not in run.stderr


_HOST = """
import dataclasses, json, sys
from tests.detection.tiny_mask_rcnn import MODEL, run, tiny_shapes
model = dataclasses.replace(MODEL, width_multiplier=.25)
results = run(sys.argv[1], tiny_shapes(sys.argv[2]), norm_act='evonorm_b0', norm_act_options={'synchronized': True},
              model=model, strategy='multi_worker_mirrored')
print(json.dumps(results))
"""


@pytest.mark.slow
def test_two_hosts_train_one_detector(tmp_path):
  data = tiny_shapes(tmp_path / 'shapes')
  data.read(Console(file=io.StringIO()))  # else both would make them
  hosts = [subprocess.Popen([sys.executable, '-c', _HOST, str(tmp_path / 'model'), data.folder], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, env={**os.environ, 'TF_CONFIG': config}) for config in tf_configs()]
  results = [json.loads(host.communicate()[0].splitlines()[-1]) for host in hosts]
  same = [{name: value for name, value in result.items() if name != 'seconds'} for result in results]
  assert same[0] == same[1] and same[0]['step'] == 6 and 0 <= same[0]['mask/AP'] <= 1
  assert (tmp_path / 'model' / 'ckpt-6.index').exists()
