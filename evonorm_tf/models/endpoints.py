"""Backbones, which return feature maps by level, and the classifier on top of a backbone.

Levels and `output_specs` follow the TensorFlow Model Garden, so that its models and decoders can use the backbones.
Level l has stride 2^l.

MobileNetV2, MnasNet and EfficientNet end with a head convolution (1280 channels), which only classification uses. As in
Model Garden's MobileNet, its output is an additional output that `output_specs` leaves out: decoders read the last
level before the head, and classifiers read the greatest key. Model Garden names that output like a further level; here
it has the name `FEATURES`, which sorts after every level. A detector built on such a backbone includes the head but
gives it no gradients, as with Model Garden's own backbones.
"""

from collections.abc import Callable
from typing import Any

from evonorm_tf import checks
from evonorm_tf.engines.dispatch import Tensor
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.registry import NormAct
from evonorm_tf.layers.which_keras import check_recompute
from evonorm_tf.layers.which_keras import KERAS_3
from evonorm_tf.layers.which_keras import keras_made_by
from evonorm_tf.layers.which_keras import keras_of

Model = Any  # a `tf_keras.Model` or a `keras.Model`, as the norm-activation layers are of tf_keras or Keras 3
FEATURES = 'features'  # the key of the head convolution's output
ImageShape = tuple[int | None, int | None, int]  # height, width and channels


def image_input(norm_act: NormAct, input_shape: ImageShape) -> Tensor:
  """Returns the symbolic input of a network, in the Keras of its norm-activation layers.

  Args:
    norm_act: the factory of the layers.
    input_shape: height, width and channels of an image.

  Raises:
    ArgumentError: if `norm_act` is no factory, or Keras is set to the image format channels_first.
  """
  keras = keras_made_by(norm_act)
  if keras.backend.image_data_format() != 'channels_last':
    raise ArgumentError("Images must be channels last: `keras.backend.set_image_data_format('channels_last')`, found "
                        f'{keras.backend.image_data_format()}.')
  return keras.Input(input_shape, name='images')


def make_backbone(images: Tensor, endpoints: dict[str, Tensor], name: str, recompute: bool = False) -> Model:
  """Returns a functional model from images to feature maps: a `BackboneModel`, or in Keras 3 a plain `keras.Model`.

  Args:
    images: the symbolic input.
    endpoints: the feature maps by level, as in `BackboneModel`.
    name: the model's name.
    recompute: whether convolutions compute the outputs of EvoNorms again in the backward pass instead of keeping them
      (default False); see `layers.recomputed`.

  Raises:
    ArgumentError: if `recompute` is true and the model is of Keras 3 or its norm-activation layers are no EvoNorms.
  """
  check_recompute(images, recompute)
  keras = keras_of(images)
  if keras.__name__ == KERAS_3:
    return keras.Model(images, endpoints, name=name)
  from evonorm_tf.layers.recomputed import recompute_norm_acts
  from evonorm_tf.models.backbone_model import BackboneModel
  model = BackboneModel(images, endpoints, name=name)
  return recompute_norm_acts(model) if recompute else model


def build_classifier(build_backbone: Callable[..., Model], num_classes: int, dropout: float | None = None,
                     **options) -> Model:
  """Returns a classifier, from images `[batch, height, width, channels]` to float32 logits `[batch, num_classes]`.

  It consists of a backbone, global average pooling, optional dropout, and a dense layer, in one functional model with
  the backbone's name.

  Departures from the authors' code of MnasNet and EfficientNet: the dense layer's kernel starts at N(0, 0.01²), theirs
  at a uniform distribution in ±1/√num_classes; and theirs decays the bias, which is spared from weight decay here.

  Args:
    build_backbone: a function that returns a backbone.
    num_classes: the number of classes, and so of logits.
    dropout: the dropout rate before the dense layer, in [0, 1); None (default) for no dropout layer.
    **options: the arguments of `build_backbone`.

  Raises:
    ValueError: if `num_classes` is not positive or `dropout` is not in [0, 1).
  """
  checks.check_positive(num_classes=num_classes)
  checks.check_rate(dropout=dropout or 0.)
  backbone = build_backbone(**options)
  keras = keras_of(backbone)
  x = backbone.output[max(backbone.output)]
  x = keras.layers.GlobalAveragePooling2D(name='pool')(x)
  if dropout is not None:
    x = keras.layers.Dropout(dropout, name='dropout')(x)
  # float32 under every dtype policy: the loss takes the logits' exponential.
  logits = keras.layers.Dense(
      num_classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), dtype='float32',
      name='logits')(x)
  return keras.Model(backbone.input, logits, name=backbone.name)
