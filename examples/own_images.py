"""A search on images of one's own: spectrograms of four kinds of tones, 32×20 pixels with one channel."""

import numpy as np

import search
from small_task import small_evaluation
from small_task import small_evolution
from small_task import small_task

RATE, SECONDS, WINDOW = 4000, .5, 100  # samples a second, length of a sound, samples in a column


def sounds(count, seed):
  """Returns the spectrograms of noisy tones and their kinds: constant, rising, falling, and a trill."""
  rng = np.random.default_rng(seed)
  kinds = np.arange(count) % 4
  t = np.arange(int(RATE * SECONDS)) / RATE
  start = rng.uniform(400., 1200., (count, 1))
  slope = np.array([0., 900., -900., 0.])[kinds, None] * rng.uniform(.5, 1., (count, 1))
  trill = np.where(kinds[:, None] == 3, 15. * np.sin(2 * np.pi * 9. * t), 0.)
  sound = np.sin(2 * np.pi * (start * t + slope * t * t / 2.) + trill) + rng.normal(size=(count, t.size)) * .7
  columns = sound.reshape(count, -1, WINDOW) * np.hanning(WINDOW)
  spectra = np.log1p(np.abs(np.fft.rfft(columns, 128)))[:, :, :64]
  images = spectra.reshape(count, -1, 32, 2).mean(-1).transpose(0, 2, 1)  # [count, frequencies, times]
  return images[..., None].astype(np.float32), kinds


def spectrograms():
  """Returns the images and labels of the splits; each worker process makes its own."""
  return {'train': sounds(2400, 1), 'validation': sounds(400, 2), 'test': sounds(400, 3)}


def main(model_dir='runs/own_images', candidates=40, workers=1):
  # Whole images, and none mirrored: a rising tone would become a falling one.
  task = small_task(data=spectrograms, image_size=None, crop_size=None, flips=False)
  learns = search.QualityTest(steps=30, min_accuracy=.3)  # chance is .25
  found = search.run(model_dir=model_dir, evaluation=small_evaluation(task, quality=learns), candidates=candidates,
                     evolution=small_evolution(), references=('bn_relu',), max_minutes=3, workers=workers)
  print(found, *found.layers, sep='\n')
  return found


if __name__ == '__main__':
  main()
