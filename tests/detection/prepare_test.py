"""The command: interrupted, started again, and with wrong arguments."""

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from detection.data import conversion
from tests.detection.tiny_coco import PROBLEMS
from tests.detection.tiny_coco import write_tiny_coco

ROOT = pathlib.Path(__file__).parents[2]
# Runs the command on images that take a while each.
SLOW = """
import time
from detection import prepare
from detection.data import conversion
from absl import app
read = conversion._read_image
conversion._read_image = lambda *image: (time.sleep(.2), read(*image))[1]
app.run(prepare.main)
"""


def command(*flags, code=None):
  start = ['-c', code] if code else ['-m', 'detection.prepare']
  environment = {name: value for name, value in os.environ.items() if name != 'TF_CPP_MIN_LOG_LEVEL'}
  return subprocess.Popen([sys.executable, *start, *flags], cwd=ROOT, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def flags_of(images, annotations, output):
  return f'--images={images}', f'--annotations={annotations}', f'--output={output}', '--images_per_shard=1'


@pytest.mark.slow
def test_interrupted_and_started_again(tmp_path):
  """A Ctrl-C ends the process at once, without cleaning up, as if it were killed."""
  images, annotations = write_tiny_coco(tmp_path)
  flags, output = flags_of(images, annotations, tmp_path / 'out'), tmp_path / 'out'
  process = command(*flags, code=SLOW)
  while not list(output.glob('.records-00001-*.json')) and process.poll() is None:
    time.sleep(.01)
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate()
  assert (process.returncode, errors) == (130, 'Interrupted. The same command goes on where it stopped.\n')
  done = len(list(output.glob('.records-*.json')))
  assert 2 <= done < 9 and not (output / 'report.json').exists()
  process = command(*flags)
  printed, errors = process.communicate()
  assert (process.returncode, errors) == (0, '')
  assert f'images {done + 1}/9, time left' in printed and '6 of 9 images converted' in printed
  assert all(names[0] in printed for names in PROBLEMS.values())
  with contextlib.redirect_stdout(io.StringIO()):
    conversion.convert_coco(images, annotations, tmp_path / 'again', images_per_shard=1)
  contents = lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}
  assert contents(output) == contents(tmp_path / 'again')


@pytest.mark.slow
def test_errors(tmp_path):
  process = command('--images=images', '--output=out')
  assert '--annotations' in ''.join(process.communicate()) and process.returncode == 1
  process = command(*flags_of(tmp_path, tmp_path / 'absent.json', tmp_path / 'out'))
  printed, errors = process.communicate()
  assert (process.returncode, printed) == (1, '') and not (tmp_path / 'out').exists()
  assert errors.startswith('error: `annotations` must be a JSON file') and len(errors.splitlines()) == 1


@pytest.mark.slow
def test_flags_belong_to_the_data(tmp_path):
  process = command('--images=images', '--annotations=annotations.json', '--crop=64', '--output=out')
  assert '--data=nuclei perhaps --crop' in ' '.join(''.join(process.communicate()).split()) and process.returncode == 1
  process = command('--data=nuclei', '--crop=1', f'--output={tmp_path / "out"}')
  assert process.communicate() == ('', 'error: `crop` must be an integer from 64 to 210, received 1.\n')
  assert process.returncode == 1 and not (tmp_path / 'out').exists()
