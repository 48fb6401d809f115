"""What the JPEG library prints is seen where it is not silenced, and what Python prints is seen everywhere."""

import subprocess
import sys

import pytest

from tests.evonorm_tf import tiny_imagenet

# Decodes a damaged file, without and with the context, and prints in between.
CODE = """
import sys
import tensorflow as tf
from evonorm_tf.data.image_files import silent_jpeg_library

def decode():
  try:
    tf.io.decode_image(open(sys.argv[1], 'rb').read())
  except tf.errors.InvalidArgumentError:
    print('refused', file=sys.stderr)

decode()
with silent_jpeg_library():
  decode()
decode()
"""


@pytest.mark.slow
def test_what_is_printed(tmp_path):
  data = tiny_imagenet.encode(tiny_imagenet.photograph(0))
  start = data.index(b'\xff\xc0') + 5  # height and width
  (tmp_path / 'a.jpg').write_bytes(data[:start] + b'\xff' * 4 + data[start + 4:])
  errors = subprocess.run([sys.executable, '-c', CODE, str(tmp_path / 'a.jpg')], capture_output=True, text=True,
                          env={'TF_CPP_MIN_LOG_LEVEL': '3'}).stderr.splitlines()
  line = 'Maximum supported image dimension is 65500 pixels'
  assert [error for error in errors if error in (line, 'refused')] == [line, 'refused', 'refused', line, 'refused']
