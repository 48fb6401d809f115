"""An evaluation of one's own, without classes: networks that remove noise, scored by the variance that they explain."""

import dataclasses
import gc

import numpy as np
import tf_keras

from evonorm_tf import get_norm_act
import search
from small_task import small_evolution


@dataclasses.dataclass(frozen=True)
class Denoising:
  """Trains a small network to return smooth random images from noisy ones; its fields identify the search."""
  steps: int = 120
  size: int = 16
  seed: int = 0

  def images(self, count, seed):
    """Returns smooth images and noisy ones, float32 `[count, size, size, 1]`."""
    rng = np.random.default_rng([self.seed, seed])
    waves = np.fft.rfft2(rng.normal(size=(count, self.size, self.size)))
    waves[:, 3:-2], waves[:, :, 3:] = 0., 0.  # without short waves
    smooth = np.fft.irfft2(waves, (self.size, self.size))[..., None]
    smooth /= smooth.std()
    return smooth.astype(np.float32), (smooth + rng.normal(size=smooth.shape)).astype(np.float32)

  def network(self, norm_act):
    images = x = tf_keras.Input((self.size, self.size, 1))
    for _ in range(3):
      x = norm_act()(tf_keras.layers.Conv2D(16, 3, padding='same', use_bias=False)(x))
    return tf_keras.Model(images, tf_keras.layers.Conv2D(1, 3, padding='same')(x))

  def check(self):
    self.network(get_norm_act('bn_relu'))  # what cannot work should fail before the search begins

  def informed_by(self, records):
    return self  # it does not compare with earlier candidates

  def with_seed(self, seed):
    return dataclasses.replace(self, seed=self.seed + seed)

  def evaluate(self, spec):
    tf_keras.utils.set_random_seed(self.seed)
    try:
      model = self.network(get_norm_act(spec).with_defaults(groups=4))
      model.compile(tf_keras.optimizers.legacy.Adam(3e-3), 'mse')
      smooth, noisy = self.images(32 * self.steps, seed=1)
      model.fit(noisy, smooth, batch_size=32, verbose=0)
      smooth, noisy = self.images(500, seed=2)
      error = model.evaluate(noisy, smooth, batch_size=100, verbose=0)
      explained = 1. - error / np.var(smooth)
    except Exception as e:  # whatever the layer causes
      return search.Outcome('failed', f'{type(e).__name__}: {e}'.splitlines()[0])
    finally:
      tf_keras.backend.clear_session()
      gc.collect()
    if not explained > .1:  # nor NaN
      return search.Outcome('rejected: own test', f'explains {explained:.2f} of the variance, .1 is needed')
    return search.Outcome('accepted', scores={'denoiser': float(explained)})


def main(model_dir='runs/own_evaluation', candidates=40, workers=1):
  found = search.run(model_dir=model_dir, evaluation=Denoising(), candidates=candidates,
                     evolution=small_evolution(), references=('bn_relu',), max_minutes=3, workers=workers)
  print(found, *found.layers, sep='\n')
  return found


if __name__ == '__main__':
  main()
