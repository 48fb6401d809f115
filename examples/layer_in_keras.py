"""A layer in either Keras: the same small network with three layers, trained for one epoch on the bundled images.

  python examples/layer_in_keras.py             # Keras 3; with KERAS_BACKEND=jax or torch on that engine
  python examples/layer_in_keras.py tf_keras
"""

import sys

import numpy as np

from evonorm_tf.data.cifar10 import load_split


def build(keras, norm_act):
  """Returns a network of three convolutions; `norm_act` stands where normalization and activation would."""
  return keras.Sequential([
      keras.layers.Input((32, 32, 3)),
      keras.layers.Conv2D(32, 3, use_bias=False), norm_act(),
      keras.layers.Conv2D(64, 3, strides=2, use_bias=False), norm_act(),
      keras.layers.Conv2D(64, 3, strides=2, use_bias=False), norm_act(),
      keras.layers.GlobalAveragePooling2D(),
      keras.layers.Dense(10)])


def main(keras_name='keras', images=5000, batch_size=16):
  if keras_name == 'tf_keras':
    import tf_keras as keras

    import evonorm_tf as evonorm
  else:
    import keras

    from evonorm_tf import keras3 as evonorm
  (train_images, train_labels), (test_images, test_labels) = map(load_split, ('train', 'test'))
  order = np.random.default_rng(0).permutation(len(train_images))[:images]
  accuracies = {}
  for name in ('bn_relu', 'evonorm_b0', 'evonorm_s0'):
    keras.utils.set_random_seed(0)
    model = build(keras, evonorm.get_norm_act(name, **({'groups': 8} if name == 'evonorm_s0' else {})))
    model.compile(keras.optimizers.Adam(.002), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=['accuracy'])
    model.fit(train_images[order] / 255, train_labels[order], batch_size, verbose=0)
    _, accuracies[name] = model.evaluate(test_images / 255, test_labels, verbose=0)
    print(f'{name}: {100 * accuracies[name]:.1f}% of the test images after {len(order) // batch_size} steps')
  return accuracies


if __name__ == '__main__':
  main(*sys.argv[1:])
