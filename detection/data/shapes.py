"""The shapes data: generated images in COCO's format, and TFRecords of them; the files are those of `coco_files`."""

from rich.console import Console

from detection.data.coco_files import make_annotation
from detection.data.coco_files import Split
from detection.data.coco_files import write_coco
from detection.data.prepared import DataInfo
from detection.data.shape_scenes import CLASSES
from detection.data.shape_scenes import draw_scene
from evonorm_tf.errors import ArgumentError

_FIRST_VALIDATION = 10 ** 6  # index of a scene: no image is in both sets
_SMALLEST_SIZE = 64  # the smallest shapes have 10 pixels then


def write_shapes(folder, train: int = 800, validation: int = 100, size: int = 256, seed: int = 0,
                 console: Console | None = None) -> tuple[DataInfo, DataInfo]:
  """Makes the data, or what is missing of them; what is there is taken if its settings are the same.

  Args:
    folder: where to.
    train: training images.
    validation: validation images.
    size: pixels a side.
    seed: of the scenes, from 0 on.
    console: where progress goes to; stdout by default.

  Returns:
    What is in the training and in the validation folder of records.

  Raises:
    ValueError: if an argument is wrong, or the folder holds data of other settings or something else or is in use.
  """
  ranges = {'train': (train, 1, 10 ** 6), 'validation': (validation, 1, 10 ** 6), 'size': (size, _SMALLEST_SIZE, 4096),
            'seed': (seed, 0, 2 ** 32 - 1)}
  for name, (value, least, most) in ranges.items():
    if not isinstance(value, int) or not least <= value <= most:
      raise ArgumentError(f'`{name}` must be an integer from {least} to {most}, received {value!r}.')
  settings = {'version': 1, 'train': train, 'validation': validation, 'size': size, 'seed': seed}

  def split(number: int, first: int) -> Split:
    def draw(index: int):
      scene = draw_scene(seed, first + index, size)
      return scene.image, [make_annotation(mask, class_id) for mask, class_id in zip(scene.masks, scene.class_ids)]
    return Split(number, draw)

  return write_coco(folder, 'shapes', settings, CLASSES, split(train, 0), split(validation, _FIRST_VALIDATION), console)
