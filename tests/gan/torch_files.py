"""Writes `.pth` files as old PyTorch did, without PyTorch: names of modules that are not there go into the pickle."""

import collections
import dataclasses
import pickle

import numpy as np

MAGIC, VERSION = 0x1950a86a20f9469cfc6c, 1001
SYSTEM = {'protocol_version': VERSION, 'little_endian': True, 'type_sizes': {'short': 2, 'int': 4, 'long': 4}}
STORAGES = {'float32': 'FloatStorage', 'int64': 'LongStorage', 'float64': 'DoubleStorage'}


@dataclasses.dataclass(frozen=True)
class Name:
  """Is pickled as a name of another module's, such as torch.FloatStorage."""
  module: str
  name: str

  def __call__(self):
    """Pickle asks that what it shall call can be called."""


@dataclasses.dataclass(frozen=True)
class Call:
  """Is pickled as a call."""
  function: Name
  arguments: tuple

  def __reduce__(self):
    return self.function, self.arguments


@dataclasses.dataclass(frozen=True)
class Storage:
  """Is pickled as a reference to what follows the pickles."""
  key: str
  data: np.ndarray


class _Pickler(pickle._Pickler):

  def save(self, obj, save_persistent_id=True):
    if isinstance(obj, Name):
      self.write(f'c{obj.module}\n{obj.name}\n'.encode())
    else:
      super().save(obj, save_persistent_id)

  def persistent_id(self, obj):
    if isinstance(obj, Storage):
      return 'storage', Name('torch', STORAGES[obj.data.dtype.name]), obj.key, 'cpu', obj.data.size, None
    return None


def tensor(storage, shape, strides, offset=0):
  """A view of a storage."""
  return Call(Name('torch._utils', '_rebuild_tensor_v2'),
              (storage, offset, tuple(shape), tuple(strides), False, collections.OrderedDict()))


def write(path, value, storages=()):
  """Writes a value, and the storages that it refers to."""
  with open(path, 'wb') as file:
    for part in (MAGIC, VERSION, SYSTEM, value, [storage.key for storage in storages]):
      _Pickler(file, protocol=2).dump(part)
    for storage in storages:
      file.write(np.int64(storage.data.size).tobytes() + storage.data.tobytes())


def write_tensors(path, arrays):
  """Writes arrays by name, each in a storage of its own."""
  storages = {name: Storage(str(i), np.ascontiguousarray(array)) for i, (name, array) in enumerate(arrays.items())}
  strides = lambda array: [s // array.itemsize for s in np.ascontiguousarray(array).reshape(array.shape).strides]
  write(path, collections.OrderedDict((name, tensor(storages[name], array.shape, strides(array)))
                                      for name, array in arrays.items()), list(storages.values()))
