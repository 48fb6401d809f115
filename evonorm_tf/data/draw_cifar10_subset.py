"""Draws the class-balanced subset of CIFAR-10 that is bundled with the package, and writes it as a TFDS dataset.

  python -m evonorm_tf.data.draw_cifar10_subset --data_dir=DIR --output=evonorm_tf/data

DIR is a TFDS folder in which cifar10 is prepared. Images keep their ids and the bytes of their PNG files.
The same seed gives the same images in the same order, but the order of the fields within a record may differ.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import io
import pathlib
import types
from typing import Any

from absl import app
from absl import flags
import numpy as np

from evonorm_tf.cli.console import run_command
from evonorm_tf.data import cifar10
from evonorm_tf.data.tfds import import_tfds

FLAGS = flags.FLAGS
flags.DEFINE_string('data_dir', None, 'TFDS folder in which the whole of cifar10 is prepared.', required=True)
flags.DEFINE_string('output', None, 'Folder that receives the subset as cifar10_subset/<version>.', required=True)
flags.DEFINE_integer('train_images', 5000, 'Training images, the same number of each class.', lower_bound=10)
flags.DEFINE_integer('test_images', 1000, 'Test images, the same number of each class.', lower_bound=10)
flags.DEFINE_integer('seed', 0, 'The same seed draws the same images.')

DESCRIPTION = (
    'A class-balanced random subset of CIFAR-10 (Krizhevsky 2009): 32x32 colour images in 10 classes. Images, labels '
    'and ids are those of the TFDS dataset cifar10 3.0.2; training and test images come from its splits of that name.')
CITATION = """@techreport{Krizhevsky09learningmultiple,
  author = {Alex Krizhevsky},
  title = {Learning multiple layers of features from tiny images},
  institution = {University of Toronto},
  year = {2009}
}"""


def subset_info(tfds: types.ModuleType, output: str) -> Any:
  """Returns the subset's DatasetInfo, which has the features and label names of cifar10, and makes its folder.

  Args:
    tfds: the module tensorflow_datasets.
    output: the parent folder; the subset goes into `output`/cifar10_subset/<version>.
  """
  directory = pathlib.Path(output) / cifar10.SUBSET_NAME / cifar10.SUBSET_VERSION
  directory.mkdir(parents=True, exist_ok=True)
  identity = tfds.core.dataset_info.DatasetIdentity(
      name=cifar10.SUBSET_NAME, version=tfds.core.Version(cifar10.SUBSET_VERSION), data_dir=str(directory),
      module_name='evonorm_tf.data.draw_cifar10_subset')
  features = tfds.features.FeaturesDict({
      'id': tfds.features.Text(),
      'image': tfds.features.Image(shape=(32, 32, 3), encoding_format='png'),
      'label': tfds.features.ClassLabel(names=cifar10.LABEL_NAMES),
  })
  return tfds.core.DatasetInfo(
      builder=identity, description=DESCRIPTION, features=features, supervised_keys=('image', 'label'),
      homepage='https://www.cs.toronto.edu/~kriz/cifar.html', citation=CITATION)


def draw_examples(tfds: types.ModuleType, builder: Any, split: str, images: int, seed: int
                  ) -> Iterator[dict[str, Any]]:
  """Yields class-balanced examples of a split in random order.

  Args:
    tfds: the module tensorflow_datasets.
    builder: the TFDS DatasetBuilder of cifar10.
    split: 'train' or 'test'.
    images: the number of examples to draw, a multiple of 10.
    seed: an integer of at least 0 that determines the examples and their order.

  Yields:
    Dicts with the keys 'id' (bytes), 'image' (a BytesIO of the PNG file) and 'label' (an integer).

  Raises:
    ArgumentError: if `images` is no positive multiple of 10, or would take all images of a class.
  """
  undecoded = {'image': tfds.decode.SkipDecoding()}
  full = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, shuffle_files=False, decoders=undecoded))
  full = {key: values[np.argsort(full['id'])] for key, values in full.items()}
  # The validation split does what is needed: it draws the same number of images from each class.
  _, (indices, _) = cifar10.train_validation_split(np.arange(len(full['label'])), full['label'], images, seed)
  for i in np.random.default_rng(seed).permutation(indices):
    yield {'id': full['id'][i], 'image': io.BytesIO(full['image'][i]), 'label': full['label'][i]}


def write_subset(tfds: types.ModuleType, builder: Any, output: str, sizes: Mapping[str, int], seed: int) -> None:
  """Draws the subset and writes it as TFRecord files, one shard per split.

  Args:
    tfds: the module tensorflow_datasets.
    builder: the TFDS DatasetBuilder of cifar10.
    output: the parent folder; the subset goes into `output`/cifar10_subset/<version>.
    sizes: the number of images by split, such as {'train': 5000, 'test': 1000}; each a multiple of 10.
    seed: an integer of at least 0 that determines the images and their order.
  """
  writer = tfds.core.SequentialWriter(subset_info(tfds, output), max_examples_per_shard=max(sizes.values()))
  writer.initialize_splits(list(sizes))
  for split, images in sizes.items():
    writer.add_examples({split: list(draw_examples(tfds, builder, split, images, seed))})
  writer.close_all()


def main(argv: list[str]) -> None:
  """Draws and writes the subset that the flags describe."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments {argv[1:]}.')
  tfds = import_tfds()
  builder = tfds.builder('cifar10', data_dir=FLAGS.data_dir)
  write_subset(tfds, builder, FLAGS.output, {'train': FLAGS.train_images, 'test': FLAGS.test_images}, FLAGS.seed)


if __name__ == '__main__':
  run_command(main)
