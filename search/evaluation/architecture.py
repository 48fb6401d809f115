"""Architectures of the proxy task (as in the paper), described by plain data that can be sent to a worker process."""

from collections.abc import Callable
import dataclasses
import functools
import inspect
import typing

import tf_keras

from evonorm_tf.errors import ArgumentError
from evonorm_tf.models.efficientnet import build_efficientnet
from evonorm_tf.models.mnasnet import build_mnasnet_b1
from evonorm_tf.models.mobilenet import build_mobilenet_v2
from evonorm_tf.models.resnet import build_resnet
from search.execution.plain_functions import plain_function
from search.journal.identity import cache_key

FAMILIES = {'resnet': build_resnet, 'mobilenet_v2': build_mobilenet_v2, 'mnasnet_b1': build_mnasnet_b1,
            'efficientnet': build_efficientnet}


@dataclasses.dataclass(frozen=True)
class Architecture:
  """An architecture in which candidates are trained: a family of networks, or a function of one's own that builds one.

  Attributes:
    family: 'resnet', 'mobilenet_v2', 'mnasnet_b1' or 'efficientnet', the keys of `FAMILIES`; with `build`, any other
      name, by default the function's. Scores by architecture use it as the architecture's name.
    options: further arguments of the builder, for instance `{'depth': 14, 'width_multiplier': 0.5}` (default {}).
    build: a function that returns a tf_keras model which maps images to logits; None (default) for the family's builder
      in `evonorm_tf.models`. Its first argument returns a new norm-activation layer at each call. It receives the
      number of classes as `num_classes` and the shape of an image, (height, width, channels), as `input_shape`, if it
      has arguments of these names; height and width are None unless the task's `crop_size` is None, since training
      images are then smaller than whole ones. Its weights should depend on Keras's global seed alone.

  Raises:
    ArgumentError: for an unknown family, a family's name with `build`, or options that the builder does not have.

  Example:
    >>> import search
    >>> import tf_keras
    >>> def small_net(norm_act, num_classes, input_shape, width=16):
    ...   images = tf_keras.Input(input_shape)
    ...   x = norm_act()(tf_keras.layers.Conv2D(width, 3, use_bias=False)(images))
    ...   x = tf_keras.layers.GlobalAveragePooling2D()(x)
    ...   return tf_keras.Model(images, tf_keras.layers.Dense(num_classes)(x))
    >>> search.Architecture(build=small_net, options={'width': 32}).family
    'small_net'
  """
  family: str = ''
  options: dict[str, typing.Any] = dataclasses.field(default_factory=dict)
  build: Callable[..., tf_keras.Model] | None = None

  def __post_init__(self):
    object.__setattr__(self, 'build', plain_function(self.build))
    if self.build is not None and not callable(self.build):
      raise ArgumentError(f'`build` must be a function that returns a network, received {self.build!r}.')
    if self.build is None and self.family not in FAMILIES:
      raise ArgumentError(f'`family` must be one of {sorted(FAMILIES)}, or `build` be given, received {self.family!r}.')
    if self.build is not None and self.family in FAMILIES:
      raise ArgumentError(f'`family` must not be one of {sorted(FAMILIES)} with `build`, received {self.family!r}.')
    if not self.family:
      function = self.build.func if isinstance(self.build, functools.partial) else self.build
      object.__setattr__(self, 'family', getattr(function, '__name__', 'own'))
    try:
      inspect.signature(self._builder).bind(None, **self._given(None, None), **self.options)
    except TypeError as e:
      raise ArgumentError(f'`options` of {self.family}: {e}.') from e

  def make_model(self, norm_act: Callable[..., tf_keras.layers.Layer], num_classes: int,
                 input_shape: tuple[int | None, int | None, int] = (None, None, 3)) -> tf_keras.Model:
    """Returns a new network of this architecture, which maps images to logits.

    Args:
      norm_act: returns a new norm-activation layer; it is called once for each place of such a layer in the network.
      num_classes: the number of classes, and so of logits.
      input_shape: height, width and channels of an image (default (None, None, 3)).

    Raises:
      ArgumentError: if `build` returns no network with that many logits.
    """
    model = self._builder(norm_act, **self._given(num_classes, input_shape), **self.options)
    shape = getattr(model, 'output_shape', None)
    if not isinstance(model, tf_keras.Model) or tuple(shape or ()) != (None, num_classes):
      raise ArgumentError(f'`build` of {self.family} must return a tf_keras.Model with outputs of shape '
                          f'{(None, num_classes)}, received {type(model).__name__} with {shape}.')
    return model

  @property
  def key(self) -> str:
    """A text that is equal for equal architectures, also if their functions are not the same objects."""
    return cache_key(self)

  @property
  def _builder(self) -> Callable[..., tf_keras.Model]:
    return self.build or FAMILIES[self.family]

  def _given(self, num_classes: int | None, input_shape: typing.Any) -> dict[str, typing.Any]:
    """Returns the arguments that the builder takes of those that the task gives."""
    given = {'num_classes': num_classes, 'input_shape': input_shape}
    parameters = inspect.signature(self._builder).parameters
    return {name: value for name, value in given.items() if name in parameters and name not in self.options}
