"""The checkpoints in a folder: which there are, which can be read, and what is wrong with the others.

TensorFlow notes a folder's checkpoints in a text file named `checkpoint`. That file, too, may be damaged or missing;
the files of the checkpoints themselves then show which there are.
"""

from collections.abc import Callable
import os
import re
from typing import Any

from absl import logging
import tensorflow as tf

from evonorm_tf.errors import ArgumentError

_READ_ERRORS = tf.errors.OpError, IndexError, RuntimeError, ValueError  # a short file is an IndexError


class DamagedCheckpointsError(ArgumentError):
  """The error raised where a folder has checkpoints, but none of them can be read."""


def find_checkpoints(folder: str) -> list[str]:
  """Returns the paths of all checkpoints of a folder, without file name extensions, the newest first.

  Those that the file `checkpoint` names come before those that are only there. They need not exist, or be readable.

  Args:
    folder: the path of the folder, which need not exist.
  """
  state = read_state(folder)
  named = [state.model_checkpoint_path, *reversed(state.all_model_checkpoint_paths)] if state else []
  files = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
  indices = filter(None, (re.fullmatch(r'(.+-(\d+))\.index', name) for name in files))
  there = [os.path.join(folder, match[1]) for match in sorted(indices, key=lambda match: -int(match[2]))]
  return list(dict.fromkeys([*named, *there]))


def read_state(folder: str) -> Any:
  """Returns the protocol buffer in the file `checkpoint` of a folder; None if there is none, or it cannot be read.

  Args:
    folder: the path of the folder, which need not exist.
  """
  try:
    return tf.train.get_checkpoint_state(folder)
  except ValueError:  # the file is empty or not UTF-8; for other damage TensorFlow itself returns None
    return None


def damage(path: str) -> str | None:
  """Reads a checkpoint as a whole, which compares each value with its checksum.

  Args:
    path: the path of the checkpoint, without a file name extension.

  Returns:
    What is wrong, with the name of the file; None if all is well.
  """
  if not tf.io.gfile.exists(f'{path}.index'):
    return f"'{path}.index' is missing"
  try:
    reader = tf.compat.v1.train.NewCheckpointReader(path)  # which never takes the path for a folder's
    names = list(reader.get_variable_to_shape_map())
  except _READ_ERRORS as e:
    return f"'{path}.index' is damaged ({_one_line(e)})"
  try:
    for name in names:
      reader.get_tensor(name)
  except _READ_ERRORS as e:
    return _damaged_shard(path, _one_line(e))
  return None


def _damaged_shard(path: str, reason: str) -> str:
  """Says which of a checkpoint's data files is missing or else, with the reason, damaged."""
  shards = sorted(tf.io.gfile.glob(f'{path}.data-*')) or [f'{path}.data-00000-of-00001']
  number = int(shards[0].rpartition('-')[2])
  for shard in (f'{path}.data-{i:05}-of-{number:05}' for i in range(number)):
    if not tf.io.gfile.exists(shard):
      return f"'{shard}' is missing"
  return f"'{shards[0]}' is damaged ({reason})" if number == 1 else f"one of '{path}.data-*' is damaged ({reason})"


def newest_readable(folder: str, report: Callable[[str], None] | None = None) -> str | None:
  """Returns the path of the newest checkpoint of a folder that can be read, or None if there is none at all.

  Args:
    folder: the path of the folder, which need not exist.
    report: is called with a line of text if newer checkpoints than the returned one are damaged; None, the default,
      for a warning in the log.

  Raises:
    DamagedCheckpointsError: if there are checkpoints, but none of them can be read. The message names the files.
  """
  damages = []
  for path in find_checkpoints(folder):
    found = damage(path)
    if found is None:
      if damages:
        (report or logging.warning)(f'{"; ".join(damages)}. Using the newest checkpoint that can be read: {path}.')
      return path
    damages.append(found)
  if damages:
    raise DamagedCheckpointsError(f"No checkpoint in '{folder}' can be read, and none was changed: "
                                  f'{"; ".join(damages)}.')
  return None


def _one_line(error: Exception) -> str:
  """Returns an error's text, shortened to a line."""
  text = ' '.join(str(error).split())
  return text if len(text) <= 200 else f'{text[:199]}…'
