"""The file of an equivalence cache: what is computed of each layer once, so that a resumed search need not repeat it.

It lies beside the journal, which alone counts: a file that is missing, damaged or of another way to compute is made
anew. It has a header and entries of one size, each with a checksum of its own. 100,000 layers take 4.5 MB.
"""

from collections.abc import Callable
import errno
import hashlib
import os
import struct
from typing import IO
import zlib

from absl import logging

from evonorm_tf.graph.layer_graph import LayerGraph
from search.equivalence.canonical import DIGEST_BYTES
from search.graphs.known_graphs import known_graph

VERSION = 1  # to be raised where digests or magnitudes change and the known layer in the header would not show it
_ENTRY = struct.Struct(f'<16s{DIGEST_BYTES}sdI')  # of the graph, its canonical form, the magnitude, the checksum
Facts = tuple[bytes, float]  # the digest of a layer's canonical form, and the magnitude of its fingerprint


class StoredLayers:
  """The facts on layers that earlier runs of a search have stored in a file, to which new ones are added.

  The file is opened when it is first needed. What cannot be read or written is computed again; nothing is raised.

  Args:
    path: the path of the file; None for no file.
    method: the name of the way in which the facts are computed.
    compute: computes the facts of a layer graph.
  """

  def __init__(self, path: str | os.PathLike | None, method: str, compute: Callable[[LayerGraph], Facts]):
    self._path, self._method, self._compute = path, method, compute
    self._file: IO[bytes] | None = None
    self._read: dict[bytes, Facts] = {}  # by graph; what was used is removed

  def facts(self, graph: LayerGraph) -> Facts:
    """Returns the facts on a layer graph, from the file or computed, and in the file from now on.

    Args:
      graph: the layer graph.
    """
    if self._file is None and self._path is not None:
      self._open(self._path)
    if self._file is None:
      return self._compute(graph)
    key = _key(graph)
    if key in self._read:
      return self._read.pop(key)
    facts = self._compute(graph)
    entry = _ENTRY.pack(key, *facts, 0)[:-4]
    self._write(self._file, entry + struct.pack('<I', zlib.crc32(entry)))
    return facts

  def close(self) -> None:
    """Closes the file."""
    if self._file is not None:
      self._file.close()

  def _open(self, path: str | os.PathLike) -> None:
    """Opens the file and reads its entries, after making it anew if it is of another method or no such file."""
    try:
      self._file = open(path, 'a+b', buffering=0)
      self._file.seek(0)
      header, data = self._header(), self._file.read()
      if not data.startswith(header):
        self._file.truncate(0)
        self._file.write(header)
        data = header
      count = (len(data) - len(header)) // _ENTRY.size
      self._file.truncate(len(header) + count * _ENTRY.size)  # a torn last entry
      for start in range(len(header), len(header) + count * _ENTRY.size, _ENTRY.size):
        self._take(data[start:start + _ENTRY.size])
    except OSError as e:
      self._give_up(e)

  def _take(self, entry: bytes) -> None:
    key, digest, magnitude, checksum = _ENTRY.unpack(entry)
    if zlib.crc32(entry[:-4]) == checksum:
      self._read[key] = digest, magnitude

  def _header(self) -> bytes:
    """Returns the beginning of a file: the method, and the facts of a known layer, which show another way to compute.

    The magnitude is rounded, since machines differ in the last digits.
    """
    digest, magnitude = self._compute(known_graph('evonorm_s0'))
    return f'layers of an equivalence cache {VERSION} {self._method} {digest.hex()} {magnitude:.6f}\n'.encode()

  def _write(self, file: IO[bytes], entry: bytes) -> None:
    try:
      if file.write(entry) < len(entry):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as e:
      self._give_up(e)

  def _give_up(self, error: OSError) -> None:
    logging.warning('%s: %s. A resumed search will compute again what it would hold.', self._path, error.strerror)
    self.close()
    self._path = self._file = None


def _key(graph: LayerGraph) -> bytes:
  """Returns the digest of a graph's nodes, dead ones too."""
  nodes = repr([(node.primitive, node.inputs, node.axes) for node in graph.nodes])
  return hashlib.blake2b(nodes.encode(), digest_size=16).digest()
