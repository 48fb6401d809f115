"""The models that `benchmarks.inference` serves: two networks with each contender in place of all norm-activations.

No vector is left at its initial value, 0 or 1, for a converter would leave such a vector out. Moving averages are those
of random images: where EvoNorm-B0's is much smaller than the variance of what it reads, the layer is so steep that one
rounding error changes the logits, and no two forms of a model could be compared.
"""

from collections.abc import Callable
import functools
from typing import Any
from typing import NamedTuple

import numpy as np
import tf_keras

from evonorm_tf import build_mobilenet_v2
from evonorm_tf import build_resnet
from evonorm_tf import fold_norm_acts
from evonorm_tf import get_norm_act

MODELS: dict[str, Callable[..., tf_keras.Model]] = {
    'ResNetV2-50': functools.partial(build_resnet, depth=50),
    'MobileNetV2': build_mobilenet_v2,
}
# The interval from which a vector's values are drawn, by its name.
_INTERVALS = {'gamma': (.5, 1.5), 'beta': (-.5, .5), 'v1': (.5, 1.5)}


class Contender(NamedTuple):
  """A layer, and how it is served.

  Attributes:
    layer: the layer's name, as for `evonorm_tf.get_norm_act`.
    title: its title in tables.
    options: the layer's arguments, as pairs of name and value.
    folded: whether `fold_norm_acts` folds what is constant into convolutions.
  """
  layer: str
  title: str
  options: tuple[tuple[str, Any], ...] = ()
  folded: bool = False


BASE = 'bn_relu_folded'  # the contender to which ratios are taken
_COMPILED = ('jit_compile', True)
_MOVING = ('momentum', 0.)  # moving averages are those of the last batch
CONTENDERS = {
    BASE: Contender('bn_relu', 'BN-ReLU folded', (_MOVING,), folded=True),
    'bn_relu': Contender('bn_relu', 'BN-ReLU', (_MOVING,)),
    'evonorm_b0': Contender('evonorm_b0', 'B0', (_MOVING,)),
    'evonorm_b0_folded': Contender('evonorm_b0', 'B0 folded', (_MOVING,), folded=True),
    'evonorm_b0_compiled': Contender('evonorm_b0', 'B0 compiled', (_MOVING, _COMPILED)),
    'evonorm_s0': Contender('evonorm_s0', 'S0'),
    'evonorm_s0_folded': Contender('evonorm_s0', 'S0 folded', folded=True),
    'evonorm_s0_compiled': Contender('evonorm_s0', 'S0 compiled', (_COMPILED,)),
}


def make_images(count: int, size: int) -> np.ndarray:
  """Returns random images `[count, size, size, 3]`, float32, always the same."""
  return np.random.default_rng(0).normal(size=(count, size, size, 3)).astype(np.float32)


def make_model(model: str, contender: str, size: int) -> tf_keras.Model:
  """Returns a network with random weights, always the same ones.

  Args:
    model: the network's name, a key of `MODELS`.
    contender: a key of `CONTENDERS`.
    size: the height and width of the images in pixels.
  """
  layer, _, options, folded = CONTENDERS[contender]
  tf_keras.utils.set_random_seed(0)
  result = MODELS[model](get_norm_act(layer, **dict(options)), input_shape=(size, size, 3))
  rng = np.random.default_rng(0)
  for weight in result.weights:
    interval = _INTERVALS.get(weight.name.rpartition('/')[2].partition(':')[0])
    if interval:
      weight.assign(rng.uniform(*interval, weight.shape))
  if _MOVING in options:
    result(make_images(8, size), training=True)
  return fold_norm_acts(result) if folded else result


def check_folding(model: str, size: int) -> dict[str, float]:
  """Compares the outputs of the folded contenders with those of the same networks before.

  Args:
    model: the network's name, a key of `MODELS`.
    size: the height and width of the images in pixels.

  Returns:
    The largest difference of the outputs, relative to the largest output, by contender.

  Raises:
    ArithmeticError: if one is above 1e-4.
  """
  differences = {}
  for name, contender in CONTENDERS.items():
    if contender.folded:
      plain, folded = (make_model(model, key, size) for key in (contender.layer, name))
      images = make_images(2, size)
      differences[name] = relative_difference(folded.predict_on_batch(images), plain.predict_on_batch(images))
      if not differences[name] < 1e-4:
        raise ArithmeticError(f'{model}: the outputs of {contender.title} differ by {differences[name]:.1g} of the '
                              'largest one from those before folding.')
  return differences


def relative_difference(outputs: np.ndarray, expected: np.ndarray) -> float:
  """Returns the largest difference between two arrays of one shape, relative to the largest value expected."""
  return float(np.abs(outputs - expected).max() / np.abs(expected).max())
