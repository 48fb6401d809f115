"""Makes TFRecords of COCO's data: python -m detection.prepare --images=DIR --annotations=FILE.json --output=DIR

For COCO itself, once for each split: --images=coco/val2017 --annotations=coco/annotations/instances_val2017.json. The
same command goes on where an interrupted one stopped.
"""

import importlib
import os
import sys

from absl import app
from absl import flags

from evonorm_tf.interrupt_watch import InterruptWatch

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

_IMAGES = flags.DEFINE_string('images', None, 'The folder of the images.', required=True)
_ANNOTATIONS = flags.DEFINE_string('annotations', None, "COCO's annotation file, JSON with masks.", required=True)
_OUTPUT = flags.DEFINE_string('output', None, 'The folder for the results.', required=True)
_IMAGES_PER_SHARD = flags.DEFINE_integer('images_per_shard', 500, 'Images a TFRecord file, at most.')


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  with InterruptWatch('Interrupted. The same command goes on where it stopped.'):
    conversion = importlib.import_module('detection.conversion')  # here, because it loads TensorFlow
    importlib.import_module('tensorflow').get_logger().setLevel('ERROR')
    try:
      conversion.convert_coco(_IMAGES.value, _ANNOTATIONS.value, _OUTPUT.value, _IMAGES_PER_SHARD.value)
    except (ValueError, OSError) as e:
      sys.exit(f'error: {e}')


if __name__ == '__main__':
  app.run(main)
