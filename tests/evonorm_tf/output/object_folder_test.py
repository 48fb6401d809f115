"""What is a URL of an object store."""

import pathlib

import pytest

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.object_folder import is_url


def test_a_url_is_no_path():
  with pytest.raises(ArgumentError, match='must be a string where it is a URL, received .*s3:/bucket'):
    is_url(pathlib.Path('s3://bucket/run'))
  assert not is_url(pathlib.Path('runs/a:b'))
