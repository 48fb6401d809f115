"""CIFAR-10 as the classification trainer reads it: whole images, padded crops and flips in training.

The recipe is that of He et al., Deep Residual Learning for Image Recognition (2015), section 4.2.
"""

import dataclasses

import tensorflow as tf

from evonorm_tf.data import cifar10


@dataclasses.dataclass(frozen=True)
class Cifar10:
  """CIFAR-10, the bundled subset or the whole.

  Attributes:
    data_dir: None for the bundled subset (5,000 training and 1,000 test images), or the TFDS folder of the whole
      (50,000 and 10,000).
    padding: pixels of the mean colour around a training image, of which a random window of the image's size is cropped.
  """
  data_dir: str | None = None
  padding: int = 4

  num_classes = len(cifar10.LABEL_NAMES)
  image_size = 32
  class_names = cifar10.LABEL_NAMES

  def check(self) -> None:
    """Raises ValueError if the data cannot be read."""
    if self.padding < 0:
      raise ValueError(f'`padding` must not be negative, received {self.padding}.')
    cifar10.load_split('train', self.data_dir)
    cifar10.load_split('test', self.data_dir)

  @property
  def train_images(self) -> int:
    return len(cifar10.load_split('train', self.data_dir)[1])

  @property
  def validation_images(self) -> int:
    return len(cifar10.load_split('test', self.data_dir)[1])

  def skipped_records(self) -> int:
    """Returns how many images could not be read so far: none, for all are in memory."""
    return 0

  def training_batches(self, batch_size: int, seed: int, first_step: int = 0, input_context=None) -> tf.data.Dataset:
    """An infinite dataset; see `cifar10.training_batches`."""
    images, labels = cifar10.load_split('train', self.data_dir)
    return cifar10.training_batches(
        cifar10.pad(images, self.padding), labels, batch_size, self.image_size, seed, first_step, input_context)

  def evaluation_batches(self, batch_size: int, input_context=None) -> tf.data.Dataset:
    """The test images, each once; see `cifar10.evaluation_batches`."""
    return cifar10.evaluation_batches(*cifar10.load_split('test', self.data_dir), batch_size, input_context)

  def preprocess(self, image: tf.Tensor) -> tf.Tensor:
    """uint8 `[h, w, 3]` of any size -> float32 `[32, 32, 3]`, as in evaluation; other sizes are resized by area."""
    size = [self.image_size, self.image_size]
    return cifar10.normalize(tf.image.resize(image, size, method='area'))
