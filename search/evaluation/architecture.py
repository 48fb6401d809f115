"""Descriptions of the proxy task's networks: a family and its options, plain data that can be sent to a worker."""

from collections.abc import Callable
import dataclasses
import inspect
import typing

import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.models.efficientnet import build_efficientnet
from evonorm_tf.models.mnasnet import build_mnasnet_b1
from evonorm_tf.models.mobilenet import build_mobilenet_v2
from evonorm_tf.models.resnet import build_resnet

FAMILIES = {'resnet': build_resnet, 'mobilenet_v2': build_mobilenet_v2, 'mnasnet_b1': build_mnasnet_b1,
            'efficientnet': build_efficientnet}


@dataclasses.dataclass(frozen=True)
class Architecture:
  """One of the architectures that a candidate is trained in.

  Attributes:
    family: one of `FAMILIES`; the architecture's scores have this name too.
    options: arguments of the family's builder, for instance `{'depth': 14, 'width_multiplier': 0.5}` (default {}).

  Raises:
    ValueError: for an unknown family, or options that its builder does not take.
  """
  family: str
  options: dict[str, typing.Any] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    if self.family not in FAMILIES:
      raise ArgumentError(f'`family` must be one of {sorted(FAMILIES)}, received {self.family!r}.')
    try:
      inspect.signature(FAMILIES[self.family]).bind(None, **self.options)
    except TypeError as e:
      raise ArgumentError(f'`options` of {self.family}: {e}.') from e

  def build(self, norm_act: Callable[..., tf_keras.layers.Layer], num_classes: int) -> tf_keras.Model:
    """Returns a new network of this architecture.

    Args:
      norm_act: factory of the norm-activation layers, called once for each place.
      num_classes: the number of classes.
    """
    return FAMILIES[self.family](norm_act, num_classes=num_classes, **self.options)
