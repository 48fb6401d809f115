"""A reader of PyTorch's `.pth` files that does not need PyTorch.

It reads the older of PyTorch's two formats, the default before version 1.6; newer versions write it with
`torch.save(..., _use_new_zipfile_serialization=False)`. Such a file contains, each pickled: a magic number, the version
of the format, the type sizes of the machine that wrote it, the tensors' names and views, and the list of the storages'
keys. Then follow, for each key, the number of elements and the raw elements. A storage is an array of numbers; a view
describes a tensor by a storage, an offset, a shape and strides.
"""

import collections
import os
import pickle
from typing import BinaryIO
import zipfile

import numpy as np

from evonorm_tf.errors import ArgumentError

_MAGIC = 0x1950a86a20f9469cfc6c
_VERSION = 1001
_COUNT = np.dtype('<i8')  # the dtype of the number of elements before each storage
_Storage = collections.namedtuple('_Storage', ['key', 'dtype', 'size'])
_View = collections.namedtuple('_View', ['storage', 'offset', 'shape', 'strides'])


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads the tensors in a `.pth` file.

  A pickle in a file can name any Python function to call. For safety, only the few names that such a file needs are
  accepted.

  Args:
    path: the path of a file with a dict of float32 and int64 tensors, such as a PyTorch module's `state_dict`.

  Returns:
    The tensors by name, as new arrays of their shape and dtype.

  Raises:
    ArgumentError: if the file has another format, is incomplete, or names any other function.
    OSError: if the file cannot be opened or read.
  """
  try:
    if zipfile.is_zipfile(path):
      raise ArgumentError('it is in the zip format of newer versions of PyTorch; torch.save with '
                          '`_use_new_zipfile_serialization=False` writes the one that is read here')
    with open(path, 'rb') as file:
      return _read(file)
  except OSError:
    raise
  except Exception as e:  # a damaged pickle can end in nearly any error
    raise ArgumentError(f"'{path}' cannot be read as tensors of PyTorch: {type(e).__name__}: {e}.") from e


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
  unpickler = lambda: _TensorUnpickler(file)  # the file holds several pickles
  magic, version, system = (unpickler().load() for _ in range(3))
  if (magic, version) != (_MAGIC, _VERSION) or not system['little_endian']:
    raise ArgumentError(f'magic number {magic!r}, version {version!r}, written on {system!r}')
  views = unpickler().load()
  if not isinstance(views, dict) or not all(isinstance(view, _View) for view in views.values()):
    raise ArgumentError('it does not hold a dict of tensors')
  dtypes = {view.storage.key: view.storage.dtype for view in views.values()}
  storages = {key: _read_storage(file, dtypes[key]) for key in unpickler().load()}
  if rest := file.read(1):
    raise ArgumentError(f'there is more after the last tensor, beginning with {rest!r}')
  return {name: _array(storages[view.storage.key], view) for name, view in views.items()}


def _read_storage(file: BinaryIO, dtype: np.dtype) -> np.ndarray:
  size = int(np.frombuffer(file.read(_COUNT.itemsize), _COUNT)[0])
  data = file.read(size * dtype.itemsize)
  if size < 0 or len(data) != size * dtype.itemsize:
    raise ArgumentError(f'a tensor of {size} elements is cut off after {len(data)} bytes')
  return np.frombuffer(data, dtype)


def _array(storage: np.ndarray, view: _View) -> np.ndarray:
  """Returns a copy of a view in C order; the view's strides count elements."""
  last = view.offset + sum((length - 1) * stride for length, stride in zip(view.shape, view.strides, strict=True))
  if min(view.shape, default=1) < 1 or min((view.offset, *view.strides)) < 0 or last >= len(storage):
    raise ArgumentError(f'a tensor of shape {view.shape} reaches beyond its {len(storage)} elements')
  strides = [storage.itemsize * stride for stride in view.strides]
  return np.lib.stride_tricks.as_strided(storage[view.offset:], view.shape, strides).copy()


def _rebuild_tensor(storage, offset, shape, strides, *_):
  """Stands in for torch._utils._rebuild_tensor_v2, whose further arguments concern gradients and are ignored."""
  return _View(storage, offset, shape, strides)


class _TensorUnpickler(pickle.Unpickler):
  """An unpickler that accepts only the names that files of float32 and int64 tensors contain."""

  _ADMITTED = {
      ('collections', 'OrderedDict'): collections.OrderedDict,
      ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
      ('torch', 'FloatStorage'): np.dtype('<f4'),
      ('torch', 'LongStorage'): np.dtype('<i8'),
  }

  def find_class(self, module: str, name: str) -> object:
    if (module, name) not in self._ADMITTED:
      raise pickle.UnpicklingError(f'it names {module}.{name}, which no tensor of float32 or int64 needs')
    return self._ADMITTED[module, name]

  def persistent_load(self, pid: tuple) -> _Storage:
    kind, dtype, key, _, size, view = pid
    if kind != 'storage' or view is not None:
      raise pickle.UnpicklingError(f'it refers to {kind!r} {view!r} where a storage of its own is expected')
    return _Storage(key, dtype, size)
