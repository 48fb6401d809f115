"""A factory of convolutions, dense layers and embeddings with the same spectral norm, initializer and dtype."""

import dataclasses

import tf_keras

from evonorm_tf.errors import ArgumentError
from gan.networks import spectral_norm

# These are factories and not objects, because a Keras initializer that is used twice returns the same values twice.
INITIALIZERS = {
    'orthogonal': tf_keras.initializers.Orthogonal,
    'n02': lambda: tf_keras.initializers.RandomNormal(stddev=.02),
}


@dataclasses.dataclass(frozen=True)
class WeightLayers:
  """A factory of the layers of a network that have a kernel or a table, all with the same settings.

  Attributes:
    spectral_norm: whether the layers use W/σ(W) in place of their weight W (default True); see `spectral_norm`.
    initializer: the initializer of all weights except biases, 'orthogonal' (default) or 'n02', which is N(0, 0.02²).
    dtype: the layers' dtype or Keras precision policy; None (default) for the global policy.

  Raises:
    ArgumentError: if `initializer` is unknown.
  """
  spectral_norm: bool = True
  initializer: str = 'orthogonal'
  dtype: str | tf_keras.mixed_precision.Policy | None = None

  def __post_init__(self):
    if self.initializer not in INITIALIZERS:
      raise ArgumentError(f'`initializer` must be one of {list(INITIALIZERS)}, received {self.initializer!r}.')

  def convolution(self, channels: int, size: int, name: str, use_bias: bool = True) -> tf_keras.layers.Layer:
    """Returns a 2-D convolution with stride 1 and 'same' padding.

    Args:
      channels: the number of output channels.
      size: the height and width of the kernel.
      name: the name of the layer.
      use_bias: whether the layer has a bias (default True).
    """
    layer_class = spectral_norm.SpectralConv2D if self.spectral_norm else tf_keras.layers.Conv2D
    return layer_class(channels, size, padding='same', use_bias=use_bias, kernel_initializer=self._initializer(),
                       name=name, dtype=self.dtype)

  def dense(self, units: int, name: str, use_bias: bool = True) -> tf_keras.layers.Layer:
    """Returns a dense layer.

    Args:
      units: the number of outputs.
      name: the name of the layer.
      use_bias: whether the layer has a bias (default True).
    """
    layer_class = spectral_norm.SpectralDense if self.spectral_norm else tf_keras.layers.Dense
    return layer_class(units, use_bias=use_bias, kernel_initializer=self._initializer(), name=name, dtype=self.dtype)

  def embedding(self, classes: int, size: int, name: str) -> tf_keras.layers.Layer:
    """Returns an embedding of class labels.

    Args:
      classes: the number of classes; labels are from 0 to `classes - 1`.
      size: the size of the embedding vectors.
      name: the name of the layer.
    """
    layer_class = spectral_norm.SpectralEmbedding if self.spectral_norm else tf_keras.layers.Embedding
    return layer_class(classes, size, embeddings_initializer=self._initializer(), name=name, dtype=self.dtype)

  def _initializer(self) -> tf_keras.initializers.Initializer:
    return INITIALIZERS[self.initializer]()
