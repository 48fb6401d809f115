"""The model of the saved models in this folder: our layers side by side, in tf_keras or in Keras 3."""

import numpy as np

GRAPH = 'bn_silu'  # of the layer that runs a layer graph: moments over the batch, v0 and v1
# frn_tlu stands on tensorflow-addons, which not every program that loads a model has.
EVONORMS = ('evonorm_b0', 'evonorm_b1', 'evonorm_b2', 'evonorm_s0', 'evonorm_s1', 'evonorm_s2')
BASELINES = ('bn_relu', 'bn_silu', 'gn_relu', 'gn_silu', 'ln_relu', 'in_relu', 'pixel_norm_relu')
WITH_GROUPS = ('evonorm_s0', 'evonorm_s1', 'evonorm_s2', 'gn_relu', 'gn_silu')


def make(keras, get_norm_act, graph, baselines=()):
  """Returns the model, with initial weights that are the same at each call.

  Args:
    keras: the module `tf_keras` or `keras`.
    get_norm_act: the function of our package for it.
    graph: a `LayerGraph`.
    baselines: names of further layers.
  """
  keras.utils.set_random_seed(0)
  layers = keras.layers
  images = keras.Input((6, 6, 3), name='images')
  branches = []
  for i, spec in enumerate((*EVONORMS, graph, *baselines)):
    options = {'groups': 2} if spec in WITH_GROUPS else {}
    x = layers.Conv2D(4, 1, name=f'conv_{i}')(images)
    branches.append(get_norm_act(spec, **options)(name=f'norm_act_{i}')(x))
  x = layers.Concatenate(name='branches')(branches)
  x = get_norm_act('evonorm_s0')(nonlinearity=False, name='affine')(x)
  x = layers.GlobalAveragePooling2D(name='pool')(x)
  return keras.Model(images, layers.Dense(4, name='logits')(x), name='small_model')


def make_trained(keras, *args):
  """As `make`, after a step of SGD, which moves γ, β, v1 and the moving averages."""
  model = make(keras, *args)
  model.compile(keras.optimizers.SGD(.1, momentum=.9), 'mse')
  rng = np.random.default_rng(1)
  images, targets = rng.normal(.3, 1.2, (8, 6, 6, 3)), rng.normal(size=(8, 4))
  model.fit(images.astype(np.float32), targets.astype(np.float32), batch_size=8, verbose=0)
  return model
