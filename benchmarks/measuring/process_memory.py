"""The resident memory of this process, split into malloc's heap and mappings. For Linux with glibc."""

import ctypes
import pathlib
import re
from typing import NamedTuple

from benchmarks.measuring.processes import peak_resident_bytes
from evonorm_tf.devices.memory import resident_bytes


class ProcessMemory(NamedTuple):
  """Bytes of a process at one moment.

  Attributes:
    resident, peak: the resident size, and its largest value so far.
    heap_used, heap_free: what malloc's heap holds, and what it keeps for later; blocks with a mapping of their own are
      in neither.
    files: the resident bytes of mapped files, such as the code of libraries.
    mappings: the mappings as triples of start, end and resident bytes.
  """
  resident: int
  peak: int
  heap_used: int
  heap_free: int
  files: int
  mappings: list[tuple[int, int, int]]

  def resident_around(self, addresses: list[int]) -> int:
    """Returns the resident bytes of the mappings that hold any of the addresses."""
    return sum(resident for start, end, resident in self.mappings
               if any(start <= address < end for address in addresses))


class _MallocInfo(ctypes.Structure):
  _fields_ = [(name, ctypes.c_size_t) for name in (
      'arena', 'ordblks', 'smblks', 'hblks', 'hblkhd', 'usmblks', 'fsmblks', 'uordblks', 'fordblks', 'keepcost')]


def read_memory() -> ProcessMemory:
  """Returns the memory of this process now."""
  libc = ctypes.CDLL('libc.so.6')
  libc.mallinfo2.restype = _MallocInfo
  info = libc.mallinfo2()
  # Each mapping has a line of its addresses, in hexadecimal, which ends with a file's path, and lines of sizes.
  lines = re.findall(r'^([0-9a-f]+)-([0-9a-f]+) (.*?)\n.*?^Rss:\s*(\d+) kB',
                     pathlib.Path('/proc/self/smaps').read_text(), re.M | re.S)
  mappings = [(int(start, 16), int(end, 16), 1024 * int(size)) for start, end, _, size in lines]
  files = sum(1024 * int(size) for _, _, text, size in lines if '/' in text)
  return ProcessMemory(resident_bytes(), peak_resident_bytes(), info.uordblks, info.fordblks, files, mappings)
