"""Statistics of real images, with which generated images are compared, and the files in which they are kept.

The statistics are the mean and the covariance of the images' features, for FID, and the features of a random subset of
the images, for KID, precision and recall.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import tempfile
import time
import zipfile

from absl import logging
import numpy as np
from rich.console import Console
from rich.text import Text
import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import replacing
from gan.scores.feature_networks import FeatureNetwork
from gan.scores.frechet import RunningMoments
from gan.scores.protocol import Protocol

Batches = Callable[[], Iterator]  # each call returns a new iterator, which begins with the first batch
_SECONDS_BETWEEN_LINES = 30


@dataclasses.dataclass(frozen=True)
class RealStatistics:
  """The statistics of a set of real images.

  Attributes:
    settings: the settings with which they were made, the result of `Protocol.statistics_settings`.
    data_name: the name of the set of images.
    images: the number of images.
    mean: the mean of the features of all images, float64 `[D]`.
    covariance: the unbiased covariance of the features of all images, float64 `[D, D]`.
    features: the features of `Protocol.samples` random images, or of all if there are fewer, float32 `[N, D]`.
  """
  settings: dict[str, str | int]
  data_name: str
  images: int
  mean: np.ndarray
  covariance: np.ndarray
  features: np.ndarray


def real_statistics(protocol: Protocol, images: tf.data.Dataset | Batches, data_name: str,
                    cache_dir: str | os.PathLike | None = None, network: FeatureNetwork | None = None
                    ) -> RealStatistics:
  """Returns the statistics of real images, from a file in `cache_dir` if they have been computed before.

  The file contains the settings, the name of the set and the image size with which it was made. If these differ, or the
  file cannot be read, the statistics are computed again and a warning is logged. Several processes may do so at the
  same time; the last one to finish replaces the file.

  Args:
    protocol: the settings of the scores.
    images: a finite tf.data.Dataset of batches, float `[N, H, W, 3]` in [−1, 1], or a function without arguments that
      returns an iterator over such batches.
    data_name: the name of the set of images, such as 'cifar10_train'. The file identifies the images only by this name
      and their size, so other images need another name.
    cache_dir: the path of the folder for the file, which is created if it does not exist; None (default) for no file.
    network: the protocol's feature network, if it has been built already; None (default) builds it if necessary.

  Raises:
    ArgumentError: if there are too few images for the protocol, they are not in the described form, `network` is not
      the protocol's, or a feature is not finite.
    MissingDependencyError: if the network must be built and the package with its weights is not installed.
  """
  batches = _iterator_of(images)
  first = _first_batch(batches())
  made_of = {'data_name': data_name, 'image_size': list(first.shape[1:3]), **protocol.statistics_settings()}
  path = cache_dir and _path(cache_dir, made_of)
  statistics = path and _load(path, made_of, protocol, data_name)
  if not statistics:
    statistics = _measure(protocol, batches(), data_name, _checked(network, protocol), first.shape[1:3])
    if path:
      try:
        _save(path, made_of, statistics)
      except OSError as e:
        logging.warning('The statistics of the real images are not stored: %s', e)
  least = max(protocol.kid_subset_size, protocol.neighbours + 1)
  if len(statistics.features) < least:
    raise ArgumentError(
        f'`images` must hold at least {least} images, for `kid_subset_size` = {protocol.kid_subset_size} and '
        f'`neighbours` = {protocol.neighbours}; {data_name} holds {statistics.images}.')
  return statistics


def _iterator_of(images: tf.data.Dataset | Batches) -> Batches:
  if isinstance(images, tf.data.Dataset):
    if images.cardinality() == tf.data.INFINITE_CARDINALITY:
      raise ArgumentError('`images` must be a finite dataset, received an infinite one.')
    return lambda: iter(images)
  if not callable(images):
    raise ArgumentError(
        f'`images` must be a tf.data.Dataset or a function that returns an iterator, received {images!r}.')
  return images


def _first_batch(batches: Iterator) -> np.ndarray:
  """Returns the first batch; raises ArgumentError unless it consists of images in the expected form."""
  batch = next(iter(batches), np.zeros(0))
  if isinstance(batch, (tuple, list, dict)):
    raise ArgumentError(
        f'`images` must give batches of images alone, received a {type(batch).__name__} of {len(batch)}.')
  batch = np.asarray(batch)
  if batch.ndim != 4 or batch.shape[-1] != 3 or not len(batch):
    raise ArgumentError(f'`images` must give batches [N, H, W, 3], received {list(batch.shape)}.')
  if not (batch.min() >= -1 and batch.max() <= 1):
    raise ArgumentError(f'`images` must be in [-1, 1], received values from {batch.min()} to {batch.max()}.')
  return batch


def _checked(network: FeatureNetwork | None, protocol: Protocol) -> FeatureNetwork:
  network = network or protocol.network()
  if network.name != protocol.network_name:
    raise ArgumentError(f'`network` must be {protocol.network_name}, as the protocol has it, received {network.name}.')
  return network


def _measure(protocol: Protocol, batches: Iterator, data_name: str, network: FeatureNetwork,
             image_size: tuple[int, int]) -> RealStatistics:
  moments = RunningMoments(network.features)
  kept = _RandomSubset(protocol.samples, network.features, np.random.default_rng(protocol.seed))
  extract = tf.function(lambda batch: network(batch)[0], autograph=False,
                        input_signature=[tf.TensorSpec([None, *image_size, 3])])
  console, began = Console(), time.monotonic()
  printed = began
  for batch in batches:
    features = extract(tf.cast(batch, tf.float32)).numpy()
    if not np.isfinite(features).all():
      raise ArgumentError(f'`images` must have finite features; of {data_name} image {moments.count} or one of the '
                          f'next {len(features) - 1} has not.')
    moments.update(features)
    kept.update(features)
    now = time.monotonic()
    if now - printed >= _SECONDS_BETWEEN_LINES:
      console.print(Text(f'Statistics of real images, {data_name}: {moments.count} images, '
                         f'{moments.count / (now - began):.0f} a second'), soft_wrap=True)
      printed = now
  return RealStatistics(protocol.statistics_settings(), data_name, moments.count, moments.mean, moments.covariance(),
                        kept.samples())


class _RandomSubset:
  """A random subset of samples that arrive in batches.

  Every sample gets a random number, and the samples with the least numbers are kept.

  Args:
    size: the number of samples to keep.
    dimensions: the number of dimensions of a sample, D.
    rng: the random generator.
  """

  def __init__(self, size: int, dimensions: int, rng: np.random.Generator):
    self._size, self._rng = size, rng
    self._keys, self._samples = np.zeros(0), np.zeros([0, dimensions], np.float32)
    self._waiting = []

  def update(self, samples: np.ndarray) -> None:
    self._waiting.append((self._rng.random(len(samples)), samples))
    if sum(len(keys) for keys, _ in self._waiting) >= self._size:
      self._merge()

  def samples(self) -> np.ndarray:
    """Returns the subset of the samples so far, float32 `[at most size, D]`, in random order."""
    self._merge()
    return self._samples

  def _merge(self) -> None:
    keys, samples = zip((self._keys, self._samples), *self._waiting)
    keys = np.concatenate(keys)
    smallest = np.argsort(keys)[:self._size]
    self._keys, self._samples = keys[smallest], np.concatenate(samples)[smallest]
    self._waiting = []


def _path(cache_dir: str | os.PathLike, made_of: dict) -> pathlib.Path:
  digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
  stem = re.sub(r'[^\w-]', '_', made_of['data_name'])
  return pathlib.Path(cache_dir) / f'{stem}-{digest}.npz'


def _load(path: pathlib.Path, made_of: dict, protocol: Protocol, data_name: str) -> RealStatistics | None:
  """Returns the statistics in a file, or None if there is no file or, with a warning, if it does not match."""
  try:
    with np.load(path, allow_pickle=False) as file:
      there = json.loads(str(file['made_of']))
      if there != made_of:
        raise ArgumentError(f'it was made of {there}, not of {made_of}')
      return RealStatistics(protocol.statistics_settings(), data_name, int(file['images']), file['mean'],
                            file['covariance'], file['features'])
  except FileNotFoundError:
    return None
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
    logging.warning('%s is not used and made anew: %s: %s', path, type(e).__name__, e)
    return None


def _save(path: pathlib.Path, made_of: dict, statistics: RealStatistics) -> None:
  """Writes the file atomically, by way of a temporary folder, because other processes may write the same file."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=path.parent, prefix='.') as folder:
    own = pathlib.Path(folder) / path.name
    with replacing(own) as temporary, open(temporary, 'wb') as file:
      np.savez(file, made_of=json.dumps(made_of), images=statistics.images, mean=statistics.mean,
               covariance=statistics.covariance, features=statistics.features)
    os.replace(own, path)
