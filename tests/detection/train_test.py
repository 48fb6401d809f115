"""The binary: what it says when something is wrong. In processes of their own, for another binary has --images too."""

import pathlib
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize('arguments, message', [
    (["--gin_bindings=CocoData.train = 'no/train'", '--strategy=one_device'],
     "error: 'no/train' must be a folder that `python -m detection.prepare` has prepared to the end"),
    (['--mode=predict', '--images=no/such/*.png'], "error: `images` must match image files, received 'no/such/*.png'")])
def test_errors_are_lines_and_no_tracebacks(tmp_path, arguments, message):
  run = start(tmp_path / 'new', *arguments)
  assert (run.returncode, run.stdout) == (1, '') and not (tmp_path / 'new').exists()
  assert message in run.stderr and 'Traceback' not in run.stderr and 'In call to' not in run.stderr
