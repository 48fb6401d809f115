"""The files that hold ImageNet's records, from a TFDS folder or a glob, and advice where there are none."""

import dataclasses
import pathlib

import tensorflow as tf

from evonorm_tf.data.tfds import import_tfds
from evonorm_tf.errors import ArgumentError

_ARCHIVES = {'train': 'ILSVRC2012_img_train.tar', 'validation': 'ILSVRC2012_img_val.tar'}
_SHARDS = {'train': 'train-00000-of-01024', 'validation': 'validation-00000-of-00128'}


@dataclasses.dataclass(frozen=True)
class RecordFiles:
  """TFRecord files of tf.Examples.

  Attributes:
    paths: the files.
    image_key: the feature that holds the bytes of a JPEG.
    label_key: the feature that holds an integer.
    first_label: the label of the first class.
  """
  paths: tuple[str, ...]
  image_key: str
  label_key: str
  first_label: int

  def decode(self, record: tf.Tensor, num_classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the JPEG and the label, int32 counted from 0, of a serialized tf.Example.

    Args:
      record: a serialized tf.Example, a string.
      num_classes: labels are below it.

    Raises:
      tf.errors.InvalidArgumentError: if a feature is missing or the label out of range.
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
  """Returns the `RecordFiles` of a split of TFDS's imagenet2012.

  Args:
    data_dir: the TFDS folder.
    split: 'train' or 'validation'.
    images_field: the name of `images` in an error.
    images: how many images there must be.

  Raises:
    ArgumentError: unless that many images are there, as TFRecords.
  """
  tfds = import_tfds()
  try:
    info = tfds.builder('imagenet2012:*.*.*', data_dir=data_dir).info
    split_info = info.splits[split]
    paths = tuple(str(path) for path in split_info.filepaths)
  except Exception as e:  # of TFDS, JSON or the file system
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
  """Returns the `RecordFiles` that match a glob.

  Args:
    field: the name of `pattern` in an error.
    pattern: the glob.
    split: 'train' or 'validation'.
    first_label: the label of the first class in the files.
    images_field: the name of `images` in an error.
    images: how many images there should be. The first file's records times the number of files must be between half
      and twice as many; their exact number could only be found by reading everything.

  Raises:
    ArgumentError: if no file matches or the number of images cannot be right.
  """
  paths = tuple(sorted(tf.io.gfile.glob(pattern)))
  if not paths:
    raise ArgumentError(
        f"`{field}` must match TFRecord files of ImageNet's {split} images, received '{pattern}', which matches none. "
        f'They are usually called {_SHARDS[split]} and so on; each record is a tf.Example with the features '
        f'image/encoded (a JPEG) and image/class/label (an integer, {first_label} for the first class). Or prepare '
        'imagenet2012 with TFDS and give `data_dir`.')
  try:
    in_first = sum(1 for _ in tf.data.TFRecordDataset(paths[0]))
  except tf.errors.OpError as e:
    raise ArgumentError(f"`{field}` must match TFRecord files, received '{pattern}'; reading '{paths[0]}' failed with "
                        f'{type(e).__name__}: {e}') from e
  estimate = in_first * len(paths)
  if not estimate / 2 <= images <= estimate * 2:
    raise ArgumentError(f"`{images_field}` must be the number of records in '{pattern}', received {images}: "
                        f'{len(paths)} files, of which the first has {in_first} records, hold about {estimate}.')
  return RecordFiles(paths, 'image/encoded', 'image/class/label', first_label)
