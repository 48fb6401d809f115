"""A search in S3, against moto's server, killed and gone on with by another process.

It needs two packages that are no dependency of the project's: `pip install 'moto[s3,server]' s3fs`.
"""

import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[3]
SEARCH = """
import sys, time
import fsspec
from search.journal import stored_folder
from tests.search.fake_search import search

stored_folder.SECONDS_OF_SILENCE = 3.
if sys.argv[1] == 'first':
  fsspec.filesystem('s3').mkdir('bucket')

def show(found, record):
  print(len(found.records), flush=True)
  if sys.argv[1] == 'first':
    time.sleep(.3)

print(len(search('s3://bucket/runs/one', callbacks=[show])), 'records')
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def environment():
  """The variables with which fsspec reaches an S3 server on this machine."""
  pytest.importorskip('moto')
  pytest.importorskip('s3fs')
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  server = subprocess.Popen([sys.executable, '-m', 'moto.server', '-p', str(port)], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
  deadline = time.monotonic() + 60
  while time.monotonic() < deadline:
    with socket.socket() as probe:
      if not probe.connect_ex(('127.0.0.1', port)):
        break
    time.sleep(.2)
  paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
  yield os.environ | {'PYTHONPATH': paths, 'AWS_ACCESS_KEY_ID': 'a', 'AWS_SECRET_ACCESS_KEY': 'b',
                      'AWS_DEFAULT_REGION': 'us-east-1', 'AWS_ENDPOINT_URL': f'http://127.0.0.1:{port}',
                      'FSSPEC_S3_ENDPOINT_URL': f'http://127.0.0.1:{port}'}
  server.kill()
  server.wait()


def test_a_search_that_was_killed_goes_on_in_another_process(environment, tmp_path):
  run = lambda code, *args: subprocess.run([sys.executable, '-c', code, *args], cwd=tmp_path, env=environment,
                                           capture_output=True, text=True, check=False, timeout=300)
  with subprocess.Popen([sys.executable, '-c', SEARCH, 'first'], cwd=tmp_path, env=environment, text=True,
                        stdout=subprocess.PIPE) as first:
    for line in first.stdout:
      if line.strip() == '7':
        first.kill()
  look = "import search; print(len(search.Search('s3://bucket/runs/one').records))"
  assert run(look).stdout.strip() == '7'
  second = run(SEARCH, 'second')
  assert second.returncode == 0, second.stderr[-3000:]
  numbers = [int(line) for line in second.stdout.splitlines() if line.isdigit()]
  records = int(second.stdout.splitlines()[-1].split()[0])
  assert numbers == list(range(8, records + 1))  # nothing is done again
  assert run(look).stdout.strip() == str(records)
