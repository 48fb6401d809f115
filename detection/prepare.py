"""Makes TFRecords of COCO's data: python -m detection.prepare --images=DIR --annotations=FILE.json --output=DIR

For COCO itself, once for each split: --images=coco/val2017 --annotations=coco/annotations/instances_val2017.json. The
same command goes on where an interrupted one stopped.

  python -m detection.prepare --data=nuclei --output=DIR

makes those of the microscope images of `detection.data.nuclei` in DIR/records/train and DIR/records/val.
"""

import importlib
import os

from absl import app
from absl import flags

from evonorm_tf.cli.interrupt_watch import INTERRUPTED
from evonorm_tf.cli.interrupt_watch import InterruptWatch
from evonorm_tf.cli.user_errors import errors_as_messages
from evonorm_tf.errors import wrap_system_errors

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

_DATA = flags.DEFINE_enum('data', 'coco', ['coco', 'nuclei'], "Files in COCO's format, or the nuclei.")
_IMAGES = flags.DEFINE_string('images', None, 'The folder of the images.')
_ANNOTATIONS = flags.DEFINE_string('annotations', None, "COCO's annotation file, JSON with masks.")
_IMAGES_PER_SHARD = flags.DEFINE_integer('images_per_shard', None, 'Images a TFRecord file, at most. Default: 500.')
_CROP = flags.DEFINE_integer('crop', None, 'Pixels a side of a crop of the nuclei. Default: 105.')
_OUTPUT = flags.DEFINE_string('output', None, 'The folder for the results.', required=True)


@flags.multi_flags_validator(
    ['data', 'images', 'annotations', 'images_per_shard', 'crop'],
    '--data=coco takes --images and --annotations and perhaps --images_per_shard, --data=nuclei perhaps --crop.')
def _belong_to_the_data(values) -> bool:
  given = {name for name, value in values.items() if value is not None} - {'data'}
  if values['data'] == 'nuclei':
    return given <= {'crop'}
  return {'images', 'annotations'} <= given <= {'images', 'annotations', 'images_per_shard'}


def _prepare() -> None:
  """Calls what makes the data, imported here because it loads TensorFlow and defines flags of its own."""
  options = {flag.name: flag.value for flag in (_IMAGES_PER_SHARD, _CROP) if flag.value is not None}
  if _DATA.value == 'nuclei':
    importlib.import_module('detection.data.nuclei').write_nuclei(_OUTPUT.value, **options)
  else:
    importlib.import_module('detection.data.conversion').convert_coco(
        _IMAGES.value, _ANNOTATIONS.value, _OUTPUT.value, **options)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  with InterruptWatch(INTERRUPTED):
    importlib.import_module('tensorflow').get_logger().setLevel('ERROR')
    with errors_as_messages(), wrap_system_errors():
      _prepare()


if __name__ == '__main__':
  app.run(main)
