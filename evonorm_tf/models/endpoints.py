"""Backbones, which return their feature maps by level, and the classifier on top of a backbone.

Levels and `output_specs` are those of the TensorFlow Model Garden, whose models and decoders can read them: level l has
stride 2^l. A network with a head convolution (1280 channels in MobileNetV2, MnasNet and EfficientNet) has it for
classification alone. As in Model Garden's MobileNet, the head's output is therefore one more output, which
`output_specs` leaves out: decoders read the last level before the head, classifiers the greatest key. Model Garden
names that output like a further level; here it has a name of its own, which sorts after every level. A detector built
on such a backbone carries the head along, without gradients, as it does with Model Garden's own.
"""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from evonorm_tf import checks

FEATURES = 'features'
ImageShape = tuple[int | None, int | None, int]  # height, width and channels


@tf_keras.utils.register_keras_serializable(package='evonorm_tf')
class BackboneModel(tf_keras.Model):
  """A functional model from images `[batch, height, width, channels]` to a dict of feature maps.

  The key of level l is a string, '0' to '5'; its feature map is `[batch, ceil(height / 2^l), ceil(width / 2^l), C]`.
  Networks with a head convolution have its output under the key `FEATURES`, of the size of the last level.
  """

  @property
  def output_specs(self) -> dict[str, tf.TensorShape]:
    """The static shape of each level's feature map, by level; without `FEATURES`."""
    return {level: x.shape for level, x in self.output.items() if level != FEATURES}


def build_classifier(build_backbone: Callable[..., BackboneModel], num_classes: int, dropout: float | None = None,
                     **options) -> tf_keras.Model:
  """Returns a model from images `[batch, height, width, channels]` to logits `[batch, num_classes]`, float32.

  The model is one graph, with the layers and the name of the backbone.

  Departures from the authors' code of MnasNet and EfficientNet: the last kernel starts at N(0, 0.01²), where theirs is
  uniform in ±1/√num_classes, and its bias is spared from weight decay, where theirs is not.

  Args:
    build_backbone: a function that returns a `BackboneModel`.
    num_classes: the number of logits.
    dropout: the rate before the last layer; None (default) for no dropout layer.
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
