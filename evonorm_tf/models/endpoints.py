"""`BackboneModel`, which returns feature maps by level, and the classifier on top of a backbone.

Levels and `output_specs` follow the TensorFlow Model Garden, so that its models and decoders can use the backbones.
Level l has stride 2^l.

MobileNetV2, MnasNet and EfficientNet end with a head convolution (1280 channels), which only classification uses. As in
Model Garden's MobileNet, its output is an additional output that `output_specs` leaves out: decoders read the last
level before the head, and classifiers read the greatest key. Model Garden names that output like a further level; here
it has the name `FEATURES`, which sorts after every level. A detector built on such a backbone includes the head but
gives it no gradients, as with Model Garden's own backbones.
"""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from evonorm_tf import checks

FEATURES = 'features'  # the key of the head convolution's output
ImageShape = tuple[int | None, int | None, int]  # height, width and channels


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


def build_classifier(build_backbone: Callable[..., BackboneModel], num_classes: int, dropout: float | None = None,
                     **options) -> tf_keras.Model:
  """Returns a classifier, from images `[batch, height, width, channels]` to float32 logits `[batch, num_classes]`.

  It consists of a backbone, global average pooling, optional dropout, and a dense layer, in one functional model with
  the backbone's name.

  Departures from the authors' code of MnasNet and EfficientNet: the dense layer's kernel starts at N(0, 0.01²), theirs
  at a uniform distribution in ±1/√num_classes; and theirs decays the bias, which is spared from weight decay here.

  Args:
    build_backbone: a function that returns a `BackboneModel`.
    num_classes: the number of classes, and so of logits.
    dropout: the dropout rate before the dense layer, in [0, 1); None (default) for no dropout layer.
    **options: the arguments of `build_backbone`.

  Raises:
    ValueError: if `num_classes` is not positive or `dropout` is not in [0, 1).
  """
  checks.check_positive(num_classes=num_classes)
  checks.check_rate(dropout=dropout or 0.)
  backbone = build_backbone(**options)
  x = backbone.output[max(backbone.output)]
  x = tf_keras.layers.GlobalAveragePooling2D(name='pool')(x)
  if dropout is not None:
    x = tf_keras.layers.Dropout(dropout, name='dropout')(x)
  # float32 under every dtype policy: the loss takes the logits' exponential.
  logits = tf_keras.layers.Dense(
      num_classes, kernel_initializer=tf_keras.initializers.RandomNormal(stddev=0.01), dtype='float32',
      name='logits')(x)
  return tf_keras.Model(backbone.input, logits, name=backbone.name)
