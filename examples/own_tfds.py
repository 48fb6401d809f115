"""A search on another image set of TensorFlow Datasets, which TFDS downloads unless it is there."""

import search
from small_task import small_evaluation
from small_task import small_evolution
from small_task import small_task


def main(name='mnist', data_dir=None, model_dir='runs/own_tfds', candidates=40, workers=1):
  # 28×28 pixels with one channel: whole images, as they are. A digit's mirror image is another one, or none.
  task = small_task(data=name, data_dir=data_dir, image_size=None, crop_size=None, flips=False)
  found = search.run(model_dir=model_dir, evaluation=small_evaluation(task), candidates=candidates,
                     evolution=small_evolution(), references=('bn_relu',), max_minutes=3, workers=workers)
  print(found, *found.layers, sep='\n')
  return found


if __name__ == '__main__':
  main()
