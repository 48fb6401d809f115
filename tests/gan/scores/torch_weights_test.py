"""Reading of `.pth` files: values and strides, what is not admitted, and damaged files."""

import pickle
import zipfile

import numpy as np
import pytest

from gan.scores.torch_weights import read_tensors
from tests.gan import torch_files
from tests.gan.torch_files import Call
from tests.gan.torch_files import Name
from tests.gan.torch_files import Storage


def test_values_and_types(tmp_path):
  arrays = {'weight': np.random.default_rng(0).normal(size=[2, 3, 4]).astype(np.float32),
            'count': np.array(2**40, np.int64)}
  torch_files.write_tensors(tmp_path / 'a.pth', arrays)
  tensors = read_tensors(tmp_path / 'a.pth')
  assert list(tensors) == ['weight', 'count']
  for name, array in arrays.items():
    assert tensors[name].dtype == array.dtype and tensors[name].shape == array.shape
    np.testing.assert_array_equal(tensors[name], array)


def test_strides_offsets_and_shared_storages(tmp_path):
  storage = Storage('7', np.arange(12, dtype=np.float32))
  views = {'transposed': torch_files.tensor(storage, [3, 4], [1, 3]),
           'part': torch_files.tensor(storage, [2, 2], [4, 1], offset=5)}
  torch_files.write(tmp_path / 'a.pth', views, [storage])
  tensors = read_tensors(tmp_path / 'a.pth')
  np.testing.assert_array_equal(tensors['transposed'], np.arange(12).reshape(4, 3).T)
  np.testing.assert_array_equal(tensors['part'], [[5, 6], [9, 10]])
  tensors['part'][:] = 0  # an array of its own
  assert tensors['transposed'].max() == 11


def test_nothing_else_is_called(tmp_path):
  path = tmp_path / 'a.pth'
  torch_files.write(path, {'weight': Call(Name('os', 'system'), (f'touch {tmp_path / "called"}',))})
  with pytest.raises(ValueError, match=r"a.pth' cannot be read as tensors .* it names os.system, which no tensor of"):
    read_tensors(path)
  assert not (tmp_path / 'called').exists()


def test_other_types_are_named(tmp_path):
  torch_files.write_tensors(tmp_path / 'a.pth', {'weight': np.zeros(3)})
  with pytest.raises(ValueError, match='it names torch.DoubleStorage'):
    read_tensors(tmp_path / 'a.pth')


@pytest.mark.parametrize('value', [[1, 2], {'weight': 3}])
def test_no_dict_of_tensors(value, tmp_path):
  torch_files.write(tmp_path / 'a.pth', value)
  with pytest.raises(ValueError, match='does not hold a dict of tensors'):
    read_tensors(tmp_path / 'a.pth')


def test_views_beyond_their_storage(tmp_path):
  storage = Storage('0', np.zeros(6, np.float32))
  for view in (torch_files.tensor(storage, [2, 3], [4, 1]), torch_files.tensor(storage, [6], [1], offset=1),
               torch_files.tensor(storage, [2], [-1], offset=3)):
    torch_files.write(tmp_path / 'a.pth', {'weight': view}, [storage])
    with pytest.raises(ValueError, match='reaches beyond its 6 elements'):
      read_tensors(tmp_path / 'a.pth')


def test_every_cut_is_noticed(tmp_path):
  path = tmp_path / 'a.pth'
  torch_files.write_tensors(path, {'weight': np.arange(5, dtype=np.float32), 'bias': np.zeros(2, np.float32)})
  whole = path.read_bytes()
  for length in range(len(whole)):
    path.write_bytes(whole[:length])
    with pytest.raises(ValueError, match="a.pth' cannot be read as tensors of PyTorch"):
      read_tensors(path)
  path.write_bytes(whole + b'x')
  with pytest.raises(ValueError, match='there is more after the last tensor'):
    read_tensors(path)


def test_other_files(tmp_path):
  path = tmp_path / 'a.pth'
  with zipfile.ZipFile(path, 'w') as file:
    file.writestr('archive/data.pkl', b'')
  with pytest.raises(ValueError, match='zip format of newer versions of PyTorch'):
    read_tensors(path)
  path.write_bytes(pickle.dumps({'weight': 1}))
  with pytest.raises(ValueError, match='cannot be read as tensors'):
    read_tensors(path)
  with pytest.raises(OSError, match='nothing.pth'):
    read_tensors(tmp_path / 'nothing.pth')
