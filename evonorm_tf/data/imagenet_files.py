"""Functions that locate ImageNet's TFRecord files in a TFDS folder or by a glob.

TFDS is TensorFlow Datasets. If files are missing, the error message says how to prepare them.
"""

import dataclasses
import pathlib
from typing import NamedTuple

import tensorflow as tf

from evonorm_tf.data.record_streams import FRAME
from evonorm_tf.data.tfds import import_tfds
from evonorm_tf.errors import ArgumentError

_ARCHIVES = {'train': 'ILSVRC2012_img_train.tar', 'validation': 'ILSVRC2012_img_val.tar'}
_PROBED = 10  # files
_TRIED = 2000  # at most as many, until one can be read: ImageNet has 1,024, a wrong pattern may match millions
_SHARDS = {'train': 'train-00000-of-01024', 'validation': 'validation-00000-of-00128'}


@dataclasses.dataclass(frozen=True)
class RecordFiles:
  """The TFRecord files of one split of ImageNet, and the format of their tf.Examples.

  Attributes:
    paths: the paths of the files, in a fixed order.
    image_key: the name of the feature that contains the bytes of the image file, a JPEG.
    label_key: the name of the feature that contains the class as an integer.
    first_label: the value of that feature for the first class.
  """
  paths: tuple[str, ...]
  image_key: str
  label_key: str
  first_label: int

  def decode(self, record: tf.Tensor, num_classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Parses a serialized tf.Example.

    Args:
      record: the serialized tf.Example, a scalar string tensor.
      num_classes: the number of classes.

    Returns:
      (image, label): the bytes of the image file, a scalar string tensor, and the class from 0 to `num_classes - 1`, a
      scalar int32 tensor.

    Raises:
      tf.errors.InvalidArgumentError: if a feature is missing or the label is out of range.
    """
    example = tf.io.parse_single_example(record, {
        self.image_key: tf.io.FixedLenFeature((), tf.string),
        self.label_key: tf.io.FixedLenFeature((), tf.int64)})
    label = example[self.label_key]
    in_range = (label >= self.first_label) & (label < self.first_label + num_classes)
    message = f'{self.label_key} must be from {self.first_label} to {self.first_label + num_classes - 1}, received'
    with tf.control_dependencies([tf.debugging.Assert(in_range, [message, label])]):
      return example[self.image_key], tf.cast(label - self.first_label, tf.int32)


def find_tfds(data_dir: str, split: str, images_field: str, images: int) -> RecordFiles:
  """Locates the files of one split of ImageNet in a folder of TensorFlow Datasets (TFDS), which calls it imagenet2012.

  Args:
    data_dir: the TFDS folder, which contains the folder imagenet2012.
    split: 'train' or 'validation'.
    images_field: the name of the user's setting that gives `images`, such as 'train_images', for error messages.
    images: the expected number of images in the split.

  Returns:
    The split's `RecordFiles`, in TFDS's order, with `first_label` 0.

  Raises:
    ArgumentError: if the data set cannot be read, a file is missing, the files are not TFRecord files, or TFDS states
      another number of images.
    MissingDependencyError: if tensorflow-datasets is not installed.
  """
  tfds = import_tfds()
  try:
    info = tfds.builder('imagenet2012:*.*.*', data_dir=data_dir).info
    split_info = info.splits[split]
    paths = tuple(str(path) for path in split_info.filepaths)
  except Exception as e:  # TFDS, JSON and the file system raise many types
    raise ArgumentError(_tfds_advice(data_dir, split, f'Reading it failed with {type(e).__name__}: {e}')) from e
  absent = [path for path in paths if not tf.io.gfile.exists(path)]
  if absent:
    problem = f"{len(absent)} of {len(paths)} files are missing: '{absent[0]}'."
    raise ArgumentError(_tfds_advice(data_dir, split, problem))
  if info.file_format != tfds.core.FileFormat.TFRECORD:
    raise ArgumentError(f"`data_dir` must hold imagenet2012 as tfrecord files, received '{data_dir}' with "
                        f'{info.file_format.value} files.')
  if split_info.num_examples != images:
    raise ArgumentError(f'`{images_field}` must be {split_info.num_examples}, the number in '
                        f"'{data_dir}', received {images}.")
  return RecordFiles(paths, 'image', 'label', first_label=0)


def _tfds_advice(data_dir: str, split: str, problem: str) -> str:
  archives = ' and '.join(_ARCHIVES.values())
  return (
      f"`data_dir` must be a TFDS folder that holds the {split} split of imagenet2012, received '{data_dir}'. Looked "
      f"for '{pathlib.Path(data_dir) / 'imagenet2012'}'. {problem}\nTo prepare it, register at "
      f'https://image-net.org/download-images, download {archives} (145 GB) into '
      f"'{pathlib.Path(data_dir) / 'downloads' / 'manual'}' and run `tfds build imagenet2012 --data_dir={data_dir}`, "
      'which takes hours and another 160 GB.')


def find_files(field: str, pattern: str, split: str, first_label: int, images_field: str, images: int) -> RecordFiles:
  """Locates the TFRecord files of one split of ImageNet by a glob.

  Args:
    field: the name of the user's setting that gives `pattern`, such as 'train_files', for error messages.
    pattern: the glob.
    split: 'train' or 'validation', for error messages.
    first_label: the label of the first class in the files.
    images_field: the name of the user's setting that gives `images`, such as 'train_images', for error messages.
    images: the expected number of images. An exact check would have to read all files. Instead, the number of records
      in the first file that is not damaged times the number of files must lie between half and twice the expected
      number. If the first ten files are damaged, there is no such check.

  Returns:
    The split's `RecordFiles`, sorted by path, with Model Garden's feature names.

  Raises:
    ArgumentError: if no file matches, nothing can be read of the first 2,000 files, or the number of images is
      implausible.
  """
  # A path that exists is no pattern, whatever characters it has.
  paths = (pattern,) if tf.io.gfile.exists(pattern) else tuple(sorted(tf.io.gfile.glob(pattern)))
  if not paths:
    raise ArgumentError(
        f"`{field}` must match TFRecord files of ImageNet's {split} images, received '{pattern}', which matches none. "
        f'They are usually called {_SHARDS[split]} and so on; each record is a tf.Example with the features '
        f'image/encoded (a JPEG) and image/class/label (an integer, {first_label} for the first class). Or prepare '
        'imagenet2012 with TFDS and give `data_dir`. In a pattern, a bracket that is part of a name is written [[].')
  counts = []
  for path in paths[:_TRIED]:
    if len(counts) >= _PROBED and any(count.records for count in counts):
      break
    counts.append(_count(path))
    if counts[-1].records and not counts[-1].error:
      estimate = counts[-1].records * len(paths)
      if not estimate / 2 <= images <= estimate * 2:
        which = 'first' if len(counts) == 1 else f'{len(counts)}th'
        raise ArgumentError(
            f"`{images_field}` must be the number of records in '{pattern}', received {images}: {len(paths)} files, of "
            f'which the {which} has {counts[-1].records} records, hold about {estimate}.')
      break
  if not any(count.records for count in counts):
    raise ArgumentError(f"`{field}` must match TFRecord files, received '{pattern}'; reading '{paths[0]}' failed with "
                        f'{counts[0].error or "no record at all"}')
  return RecordFiles(paths, 'image/encoded', 'image/class/label', first_label)


class _Count(NamedTuple):
  """The number of records that can be read from a file, and what keeps the rest from being read, or None."""
  records: int
  error: str | None


def _count(path: str) -> _Count:
  number, length = 0, 0
  try:
    for record in tf.data.TFRecordDataset(path):
      number, length = number + 1, length + FRAME + len(record.numpy())
    size = tf.io.gfile.stat(path).length
  except tf.errors.OpError as e:
    return _Count(number, f'{type(e).__name__}: {e}')
  return _Count(number, None if length == size else f'{length} of its {size} bytes')  # TensorFlow ignores a short rest
