"""Other layers for a trained network: convert it, go on from its convolutions, save it, and fold it for inference."""

import keras
import numpy as np

from evonorm_tf import keras3 as evonorm
from evonorm_tf.data.cifar10 import load_split


def build():
  """Returns a small network of Keras 3 with batch normalization and ReLU, as anybody would write it."""
  x = inputs = keras.Input((32, 32, 3))
  for channels, strides in ((32, 1), (64, 2), (64, 2)):
    x = keras.layers.Conv2D(channels, 3, strides, use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
  return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x)))


def train(model, learning_rate, images, epochs):
  """Trains a model on the bundled images; returns its accuracy on the test images."""
  model.compile(keras.optimizers.Adam(learning_rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=['accuracy'])
  (train_images, train_labels), (test_images, test_labels) = map(load_split, ('train', 'test'))
  order = np.random.default_rng(0).permutation(len(train_images))[:images]  # the images are sorted
  model.fit(train_images[order] / 255, train_labels[order], batch_size=32, epochs=epochs, verbose=0)
  return model.evaluate(test_images / 255, test_labels, verbose=0)[1]


def main(folder='.', images=5000):
  keras.utils.set_random_seed(0)
  model = build()
  print(f'BN-ReLU, trained: {100 * train(model, .002, images, epochs=2):.1f}%')

  print(evonorm.plan_conversion(model))
  converted = evonorm.convert_norm_act(model, evonorm.get_norm_act('evonorm_s0', groups=8))  # a copy
  print(f'left over: {evonorm.list_norm_acts(converted)}')
  print(f'EvoNorm-S0, one epoch more: {100 * train(converted, .001, images, epochs=1):.1f}%')

  converted.save(f'{folder}/converted.keras')
  loaded = keras.models.load_model(f'{folder}/converted.keras')
  serving = evonorm.fold_norm_acts(loaded)  # for inference: what can be is in the weights of the convolutions
  some = load_split('test')[0][:100] / 255
  difference = np.abs(serving.predict(some, verbose=0) - converted.predict(some, verbose=0)).max()
  print(f'folded: {converted.count_params():,} weights become {serving.count_params():,}; '
        f'outputs differ by at most {difference:.1e}')
  return difference


if __name__ == '__main__':
  main()
