"""Statistics of real images: their values, the cache and what it refuses, and processes that write at once."""

import concurrent.futures
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from gan.scores import real_statistics as real_statistics_lib
from gan.scores.protocol import Protocol
from gan.scores.real_statistics import real_statistics
from tests.gan.tiny_network import features_in_numpy
from tests.gan.tiny_network import tiny_network

PROTOCOL = Protocol(samples=30, splits=2, kid_subset_size=10)
IMAGES = np.random.default_rng(0).uniform(-1, 1, [50, 8, 8, 3]).astype(np.float32)


def batches(images=IMAGES, size=16):
  return tf.data.Dataset.from_tensor_slices(images).batch(size)


def statistics(cache_dir=None, protocol=PROTOCOL, images=None, data_name='noise'):
  return real_statistics(protocol, images or batches(), data_name, cache_dir, tiny_network(protocol))


def assert_equal(a, b):
  assert a.settings == b.settings and a.data_name == b.data_name and a.images == b.images
  for name in ('mean', 'covariance', 'features'):
    np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert getattr(a, name).dtype == getattr(b, name).dtype


def test_values():
  real = statistics()
  expected = features_in_numpy(IMAGES)
  assert (real.images, real.data_name, real.features.dtype) == (50, 'noise', np.float32)
  np.testing.assert_allclose(real.mean, expected.mean(0), atol=1e-7)
  np.testing.assert_allclose(real.covariance, np.cov(expected, rowvar=False), atol=1e-7)
  # 30 different samples of the 50 are kept.
  where = np.abs(real.features[:, None] - expected).max(2) < 1e-6
  assert where.sum() == 30 and where.any(0).sum() == 30


def test_what_is_kept_is_random_and_no_matter_of_the_batches():
  kept = statistics().features
  np.testing.assert_allclose(kept, statistics(images=lambda: iter(np.split(IMAGES, [3, 4, 44]))).features, atol=1e-7)
  other_seed = dataclasses.replace(PROTOCOL, seed=1)
  assert np.abs(kept - statistics(protocol=other_seed).features).max() > .01
  # Every image is kept as often as any other one: 0.6·200 times, with a deviation of 7.
  counts = np.zeros(50)
  for seed in range(200):
    subset = real_statistics_lib._RandomSubset(30, 1, np.random.default_rng(seed))
    for batch in np.split(np.arange(50.)[:, None], [7, 35]):
      subset.update(batch)
    counts[subset.samples()[:, 0].astype(int)] += 1
  assert counts.sum() == 6000 and np.abs(counts - 120).max() < 35


def test_fewer_images_than_samples_are_kept_all():
  assert len(statistics(images=batches(IMAGES[:20])).features) == 20


def test_the_cache_is_used(tmp_path, monkeypatch):
  folder = tmp_path / 'new' / 'folder'
  made = statistics(folder)

  def measure(*_):
    raise AssertionError('measured again')

  monkeypatch.setattr(real_statistics_lib, '_measure', measure)
  assert_equal(statistics(folder), made)
  assert_equal(statistics(folder, dataclasses.replace(PROTOCOL, splits=3, neighbours=1, kid_subset_size=5)), made)
  assert len(list(folder.iterdir())) == 1  # nothing temporary is left
  for change in ({'protocol': dataclasses.replace(PROTOCOL, samples=20)}, {'data_name': 'other'},
                 {'images': batches(np.zeros([50, 16, 16, 3], np.float32))}):
    with pytest.raises(AssertionError, match='measured again'):
      statistics(folder, **change)


def replace_by_nothing(path, _):
  path.write_bytes(b'')


def cut(path, _):
  path.write_bytes(path.read_bytes()[:-100])


def flip(path, _):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 255
  path.write_bytes(data)


def replace_by_another(path, other):
  path.write_bytes(other.read_bytes())


@pytest.mark.parametrize('damage', [replace_by_nothing, cut, flip, replace_by_another])
def test_a_broken_file_or_one_of_other_data_is_made_anew(damage, tmp_path, caplog):
  made = statistics(tmp_path)
  path, = tmp_path.iterdir()
  statistics(tmp_path / 'other', images=batches(IMAGES[:40]), data_name='other')
  other, = (tmp_path / 'other').iterdir()
  damage(path, other)
  with caplog.at_level('WARNING'):
    assert_equal(statistics(tmp_path), made)
  assert f'{path} is not used and made anew' in caplog.text
  caplog.clear()
  assert_equal(statistics(tmp_path), made)
  assert not caplog.text


def test_writers_at_once_leave_a_whole_file(tmp_path):
  path, made_of, made = tmp_path / 'noise.npz', {'data_name': 'noise'}, statistics()
  load = lambda: real_statistics_lib._load(path, made_of, PROTOCOL, 'noise')
  with concurrent.futures.ThreadPoolExecutor(4) as executor:
    writers = [executor.submit(real_statistics_lib._save, path, made_of, made) for _ in range(60)]
    writers[0].result()
    while not all(writer.done() for writer in writers):
      assert_equal(load(), made)
  for writer in writers:
    writer.result()
  assert_equal(load(), made)
  assert list(tmp_path.iterdir()) == [path]


def test_long_work_tells_how_far_it_is(monkeypatch, capsys):
  statistics()
  assert not capsys.readouterr().out
  monkeypatch.setattr(real_statistics_lib, '_SECONDS_BETWEEN_LINES', 0)
  statistics()
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 4 and lines[1].startswith('Statistics of real images, noise: 32 images, ')


def test_errors(tmp_path):
  for images, message in (
      (IMAGES * 127.5, r'`images` must be in \[-1, 1\], received values from -127'),
      (np.full_like(IMAGES, np.nan), r'`images` must be in \[-1, 1\], received values from nan'),
      (IMAGES[..., 0], r'`images` must give batches \[N, H, W, 3\], received \[16, 8, 8\]'),
      (IMAGES[:0], r'`images` must give batches \[N, H, W, 3\], received'),
      (IMAGES[:9], '`images` must hold at least 10 images, for `kid_subset_size` = 10 and `neighbours` = 3; no')):
    with pytest.raises(ValueError, match=message):
      statistics(tmp_path, images=batches(images))
  for images, message in (
      (batches().repeat(), 'be a finite dataset'), (IMAGES, 'must be a tf.data.Dataset or a function that'),
      (batches((IMAGES, np.zeros(50))), 'must give batches of images alone, received a tuple of 2')):
    with pytest.raises(ValueError, match=message):
      real_statistics(PROTOCOL, images, 'noise', network=tiny_network(PROTOCOL))
  with pytest.raises(ValueError, match='`images` must have finite features; of noise image 0 or one of the next 15'):
    real_statistics(PROTOCOL, batches(), 'noise', network=tiny_network(PROTOCOL, wrong_value=np.inf))
  with pytest.raises(ValueError, match=r'`network` must be efficientnet_lite0 \(.*, received inception_v3 \(keras'):
    real_statistics(PROTOCOL, batches(), 'noise', network=tiny_network(Protocol('inception_v3')))
