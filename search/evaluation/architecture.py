"""Architectures of the proxy task (paper section 4), described by plain data that can be sent to a worker process."""

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
  """An architecture in which candidates are trained: a family of networks and the options of its builder.

  Attributes:
    family: 'resnet', 'mobilenet_v2', 'mnasnet_b1' or 'efficientnet', the keys of `FAMILIES`. Scores by architecture
      use it as the architecture's name.
    options: further arguments of the family's builder in `evonorm_tf.models`, for instance
      `{'depth': 14, 'width_multiplier': 0.5}` (default {}).

  Raises:
    ArgumentError: for an unknown family, or options that its builder does not have.
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
    """Returns a new network of this architecture, which maps images to logits.

    Args:
      norm_act: returns a new norm-activation layer; it is called once for each place of such a layer in the network.
      num_classes: the number of classes, and so of logits.
    """
    return FAMILIES[self.family](norm_act, num_classes=num_classes, **self.options)
