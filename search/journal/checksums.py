"""Checksums of the journal's lines: the CRC-32 of a line's other bytes, as the last key of its JSON object.

The journals of version 0.1 have none, and its readers leave the key alone. Notes have none either: earlier readers
know them by their only key, and a damaged one does no harm.
"""

import zlib

from evonorm_tf.errors import ArgumentError

_KEY = 'checksum'
_END = ', "checksum": "{:08x}"}}'  # it takes the place of the closing brace
_SIZE = len(_END.format(0))


def with_checksum(line: bytes) -> bytes:
  """Returns a line with its checksum.

  Args:
    line: a JSON object with at least one key, as `json.dumps` writes it, without a line break.
  """
  return line[:-1] + _end(line)


def take_checksum(line: bytes, data: dict) -> None:
  """Compares a line with its checksum, and removes the checksum from the line's data. Lines without one pass.

  Args:
    line: the bytes of the line, without its line break.
    data: the JSON object in these bytes; its key `checksum` is removed.

  Raises:
    ArgumentError: if line and checksum differ.
  """
  found, expected = line[-_SIZE:], _end(line[:-_SIZE] + b'}')
  # Damage to the checksum itself must not pass for a line without one.
  is_there = _KEY in data or sum(a == b for a, b in zip(found, expected)) > _SIZE // 2
  if is_there and found != expected:
    raise ArgumentError('the line does not fit its checksum: it was damaged or edited after it had been written.')
  data.pop(_KEY, None)


def _end(line: bytes) -> bytes:
  """Returns what follows the last value of a line with a checksum, where `line` is the line without one."""
  return _END.format(zlib.crc32(line)).encode()
