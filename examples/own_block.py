"""Teach the converter a block of your own, whose normalizations and activations are hidden in its `call`."""

import tf_keras as keras

import evonorm_tf


class ResidualBlock(keras.layers.Layer):
  """Two convolutions beside the identity, each after batch normalization and ReLU."""

  def build(self, input_shape):
    self.convs = [keras.layers.Conv2D(input_shape[-1], 3, padding='same', use_bias=False) for _ in range(2)]
    self.norms = [keras.layers.BatchNormalization() for _ in range(2)]
    self.relu = keras.layers.ReLU()
    super().build(input_shape)

  def call(self, inputs, training=None):
    x = inputs
    for conv, norm in zip(self.convs, self.norms):
      x = conv(self.relu(norm(x, training=training)))
    return inputs + x


@evonorm_tf.register_block(ResidualBlock)
def convert_residual_block(block, norm_act):
  """Returns a block in which each normalization of `norms`, with the activation `relu` after it, is a fused layer."""
  return evonorm_tf.swap_norms(block, norm_act, {'norms': 'relu'})


def main():
  inputs = keras.Input((32, 32, 3))
  x = keras.layers.Conv2D(16, 3, padding='same')(inputs)
  for number in range(3):
    x = ResidualBlock(name=f'block_{number}')(x)
  model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x)))
  converted = evonorm_tf.convert_norm_act(model, 'evonorm_b0')
  block = converted.get_layer('block_0')
  print(f'{evonorm_tf.plan_conversion(model).blocks} now have {[type(norm).__name__ for norm in block.norms]}')
  print(f'left over: {evonorm_tf.list_norm_acts(converted)}')
  return converted


if __name__ == '__main__':
  main()
