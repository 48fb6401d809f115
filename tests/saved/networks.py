"""What the networks of the saved trainings give, as the code at hand builds and restores them."""

import gin
import numpy as np
import tensorflow as tf

from detection import mask_rcnn
from detection import models
from gan.metrics import Protocol
from gan.metrics import real_statistics
from tests.gan.tiny_network import tiny_network
from tests.saved import folders

PROTOCOL = Protocol(samples=12, splits=2, neighbours=1, kid_subsets=2, kid_subset_size=6)


def pixels(size):
  """Noise, uint8 `[2, size, size, 3]`."""
  return np.random.default_rng(0).integers(0, 256, [2, size, size, 3], np.uint8)


def classifier_logits(export_folder, images):
  """The logits of an exported classifier."""
  return tf.saved_model.load(str(export_folder)).signatures['serving_default'](images=tf.constant(images))['logits']


def gan_colours(samples):
  """The mean colour of each of a GAN's pictures of two classes, `[2, 10, 3]`."""
  grid = tf.io.decode_png(tf.io.read_file(str(samples / 'samples.png'))).numpy()
  return grid.reshape(2, 32, 10, 32, 3).mean((1, 3))


def detector():
  """A detector of gin/detector.gin with random weights, which needs an empty gin configuration."""
  gin.parse_config_file(str(folders.gin_file('detector')))
  settings = gin.get_bindings(mask_rcnn.run_mask_rcnn)
  gin.clear_config()
  config = settings['model'].config(num_classes=6, image_size=settings['image_size'])
  return models.build_mask_rcnn(config, settings['norm_act'], settings['norm_act_options'])


def detector_features(model, images):
  """The highest level of the feature pyramid."""
  return model.decoder(model.backbone(images / np.float32(255), training=False), training=False)['5']


def noise_statistics(cache_dir):
  """The statistics of 20 images of noise by a feature network of averages, from the folder where they are there."""
  images = np.random.default_rng(0).uniform(-1, 1, [20, 8, 8, 3]).astype(np.float32)
  return real_statistics(
      PROTOCOL, tf.data.Dataset.from_tensors(images), 'noise', cache_dir, tiny_network(PROTOCOL))
