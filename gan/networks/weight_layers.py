"""A factory of convolutions, dense layers and embeddings that share spectral norm, initializer and precision."""

import dataclasses

import tf_keras

from evonorm_tf.errors import ArgumentError
from gan.networks import spectral_norm

# Classes and not objects, because Keras draws the same values again from an initializer object that is used twice.
INITIALIZERS = {
    'orthogonal': tf_keras.initializers.Orthogonal,
    'n02': lambda: tf_keras.initializers.RandomNormal(stddev=.02),
}


@dataclasses.dataclass(frozen=True)
class WeightLayers:
  """Makes all layers of a network that have a kernel or a table, with the same settings.

  Attributes:
    spectral_norm: whether the layers have the weight W/σ(W) in place of W (default True).
    initializer: of all weights except biases, 'orthogonal' (default) or 'n02', which is N(0, 0.02²).
    dtype: a dtype or policy of Keras; None for the global policy.

  Raises:
    ArgumentError: for an unknown `initializer`.
  """
  spectral_norm: bool = True
  initializer: str = 'orthogonal'
  dtype: str | tf_keras.mixed_precision.Policy | None = None

  def __post_init__(self):
    if self.initializer not in INITIALIZERS:
      raise ArgumentError(f'`initializer` must be one of {list(INITIALIZERS)}, received {self.initializer!r}.')

  def convolution(self, channels: int, size: int, name: str, use_bias: bool = True) -> tf_keras.layers.Layer:
    """Returns a size×size convolution of stride 1 that keeps the size of the maps."""
    layer_class = spectral_norm.SpectralConv2D if self.spectral_norm else tf_keras.layers.Conv2D
    return layer_class(channels, size, padding='same', use_bias=use_bias, kernel_initializer=self._initializer(),
                       name=name, dtype=self.dtype)

  def dense(self, units: int, name: str, use_bias: bool = True) -> tf_keras.layers.Layer:
    """Returns a dense layer."""
    layer_class = spectral_norm.SpectralDense if self.spectral_norm else tf_keras.layers.Dense
    return layer_class(units, use_bias=use_bias, kernel_initializer=self._initializer(), name=name, dtype=self.dtype)

  def embedding(self, classes: int, size: int, name: str) -> tf_keras.layers.Layer:
    """Returns an embedding of the labels 0 to classes − 1."""
    layer_class = spectral_norm.SpectralEmbedding if self.spectral_norm else tf_keras.layers.Embedding
    return layer_class(classes, size, embeddings_initializer=self._initializer(), name=name, dtype=self.dtype)

  def _initializer(self) -> tf_keras.initializers.Initializer:
    return INITIALIZERS[self.initializer]()
