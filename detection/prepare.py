"""Converts a data set in COCO's format, or the nuclei data, to TFRecords.

  python -m detection.prepare --images=DIR --annotations=FILE.json --output=DIR
  python -m detection.prepare --data=nuclei --output=DIR

The first writes its TFRecords to DIR; for COCO, run it once for each split, such as --images=coco/val2017
--annotations=coco/annotations/instances_val2017.json. The second takes the microscope images of the Python package
ndev-sampledata and writes to DIR/records/train and DIR/records/val. An interrupted preparation continues when the same
command is repeated.
"""

from collections.abc import Sequence
import importlib
import os

from absl import app
from absl import flags

from evonorm_tf.cli.console import run_command
from evonorm_tf.cli.interrupt_watch import INTERRUPTED
from evonorm_tf.cli.interrupt_watch import InterruptWatch
from evonorm_tf.cli.user_errors import errors_as_messages
from evonorm_tf.errors import wrap_system_errors

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

_DATA = flags.DEFINE_enum('data', 'coco', ['coco', 'nuclei'], "Files in COCO's format, or the nuclei.")
_IMAGES = flags.DEFINE_string('images', None, 'The folder of the images.')
_ANNOTATIONS = flags.DEFINE_string('annotations', None, "COCO's annotation file, JSON with masks.")
_IMAGES_PER_SHARD = flags.DEFINE_integer('images_per_shard', None, 'Images in a TFRecord file, at most. Default: 500.')
_ORIENTATION = flags.DEFINE_enum(
    'orientation', None, ['turned', 'stored'], 'What the annotations mean of photographs with an EXIF orientation that '
    'have the stated size both ways: what a viewer shows, or the stored pixels. Default: turned.')
_CROP = flags.DEFINE_integer('crop', None, 'Height and width of a crop of the nuclei in pixels. Default: 105.')
_OUTPUT = flags.DEFINE_string('output', None, 'The folder for the results.', required=True)


@flags.multi_flags_validator(
    ['data', 'images', 'annotations', 'images_per_shard', 'orientation', 'crop'],
    '--data=coco takes --images and --annotations and perhaps --images_per_shard and --orientation, --data=nuclei '
    'perhaps --crop.')
def _belong_to_the_data(values) -> bool:
  given = {name for name, value in values.items() if value is not None} - {'data'}
  if values['data'] == 'nuclei':
    return given <= {'crop'}
  return {'images', 'annotations'} <= given <= {'images', 'annotations', 'images_per_shard', 'orientation'}


def _prepare() -> None:
  """Calls the function that makes the data; it is imported here, since that loads TensorFlow and defines flags."""
  options = {flag.name: flag.value for flag in (_IMAGES_PER_SHARD, _ORIENTATION, _CROP) if flag.value is not None}
  if _DATA.value == 'nuclei':
    importlib.import_module('detection.data.nuclei').write_nuclei(_OUTPUT.value, **options)
  else:
    importlib.import_module('detection.data.conversion').convert_coco(
        _IMAGES.value, _ANNOTATIONS.value, _OUTPUT.value, **options)


def main(argv: Sequence[str]) -> None:
  """Runs the command. After flag parsing, `argv` must hold the program's name only; otherwise UsageError is raised."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  with InterruptWatch(INTERRUPTED):
    importlib.import_module('tensorflow').get_logger().setLevel('ERROR')
    with errors_as_messages(), wrap_system_errors():
      _prepare()


if __name__ == '__main__':
  run_command(main)
