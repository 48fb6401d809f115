"""Trains small models for 20 steps on the backend of KERAS_BACKEND, and saves what another backend is to find again.

  python -m backend_tests.train_small LAYER FOLDER [LAYER FOLDER ...]

Everything random comes from NumPy. `exchange_test` runs it on a second backend.
"""

import pathlib
import sys

import keras
import numpy as np

from evonorm_tf import keras3

STEPS, BATCH = 20, 16


def images_and_labels():
  """The training data, one batch after the other, and their labels."""
  rng = np.random.default_rng(0)
  labels = rng.integers(4, size=STEPS * BATCH)
  x = rng.normal(size=(len(labels), 8, 8, 3)) + np.linspace(-1., 1., 4)[labels, None, None, None]
  return x.astype('float32'), labels


def make_model(name):
  """A model with three norm-activation layers of a name, and weights from NumPy."""
  norm_act = keras3.get_norm_act(name)
  x = inputs = keras.Input((8, 8, 3))
  for number in range(2):
    x = norm_act(name=f'norm_act_{number}')(keras.layers.Conv2D(8, 3, use_bias=False, name=f'conv_{number}')(x))
  x = norm_act(nonlinearity=False, name='affine')(keras.layers.Conv2D(8, 1, name='conv_2')(x))
  model = keras.Model(inputs, keras.layers.Dense(4, name='logits')(keras.layers.GlobalAveragePooling2D()(x)))
  rng = np.random.default_rng(1)
  for variable in model.trainable_variables:
    if variable.name == 'kernel':
      variable.assign(rng.normal(size=variable.shape) * np.prod(variable.shape[:-1]) ** -.5)
  return model


def train(model):
  """Trains a model, and returns the loss of each step."""
  model.compile(keras.optimizers.SGD(.02, momentum=.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
  x, labels = images_and_labels()
  return [float(model.train_on_batch(x[i:i + BATCH], labels[i:i + BATCH])) for i in range(0, len(x), BATCH)]


def main(name, folder):
  """Trains, and writes the losses, the model, its weights and its outputs into a folder."""
  model, folder = make_model(name), pathlib.Path(folder)
  np.save(folder / 'losses.npy', train(model))
  model.save(folder / 'model.keras')
  model.save_weights(folder / 'model.weights.h5')
  np.save(folder / 'outputs.npy', model.predict(images_and_labels()[0][:8], verbose=0))


if __name__ == '__main__':
  for arguments in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    main(*arguments)
