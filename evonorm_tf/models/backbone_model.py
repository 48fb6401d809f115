"""`BackboneModel`, a tf_keras model that returns feature maps by level, as Model Garden's backbones do."""

import tensorflow as tf
import tf_keras

from evonorm_tf.models.endpoints import FEATURES


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class BackboneModel(tf_keras.Model):
  """A functional model from images `[batch, height, width, channels]` to a dict of feature maps.

  The key of level l is a string, from '0' to '5'; its feature map is
  `[batch, ceil(height / 2^l), ceil(width / 2^l), C]`. Networks with a head convolution also have its output, of the
  last level's size, under the key `FEATURES`.

  The constructor arguments are those of a functional `tf_keras.Model`: the inputs, the outputs and the name.
  """

  @property
  def output_specs(self) -> dict[str, tf.TensorShape]:
    """The static shape of each feature map, by level; without that of `FEATURES`."""
    return {level: x.shape for level, x in self.output.items() if level != FEATURES}
