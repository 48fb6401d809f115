"""Conversion of images and annotations in COCO's format to TFRecords for detectors.

The records are made by the converter of the TensorFlow Model Garden, for its Mask R-CNN. Images and annotations with
problems are left out or repaired, and reported.

A photograph may have an orientation in its EXIF data (see `orientation`). According to the tool that made them,
annotations then mean the stored pixels, or what a viewer shows. Where the size in the annotations is that of one of the
two only, it is this one; where it is that of both, the user's choice decides. A turned image is written as a PNG of the
turned pixels.

The images are divided into shards. Each becomes one TFRecord file,
which is written atomically, so that an interrupted conversion continues with the first missing shard. The output folder
contains:

    records-00000-of-00003.tfrecord ...  the images with their annotations, as tf.Examples
    annotations.json                     the annotations of exactly these images in COCO's format, for the evaluation
    report.json                          the numbers of images and annotations, and the problems found
    data_info.json                       the description that a trainer reads (`prepared.DataInfo`); written last
    settings.json                        the settings of the conversion, which must be the same when it is resumed
"""

from collections.abc import Iterator
import functools
import importlib
import json
import math
import os
import pathlib
import types

from official.vision.data import tfrecord_lib
from rich.console import Console
from rich.text import Text
import tensorflow as tf

from detection.data.coco_annotations import clean_annotations
from detection.data.coco_annotations import CocoFile
from detection.data.coco_annotations import read_coco
from detection.data.coco_masks import decode_mask
from detection.data.coco_masks import encode_mask
from detection.data.conversion_report import BROKEN_IMAGE
from detection.data.conversion_report import ConversionProgress
from detection.data.conversion_report import make_report
from detection.data.conversion_report import MISSING_IMAGE
from detection.data.conversion_report import Problem
from detection.data.conversion_report import report_text
from detection.data.conversion_report import STORED_BY_CHOICE
from detection.data.conversion_report import STORED_BY_SIZE
from detection.data.conversion_report import TURNED_BY_CHOICE
from detection.data.conversion_report import TURNED_BY_SIZE
from detection.data.conversion_report import WRONG_SIZE
from detection.data.prepared import claim
from detection.data.prepared import DataInfo
from detection.data.prepared import is_prepared
from detection.data.prepared import LOCK
from detection.data.prepared import read_data_info
from detection.data.prepared import write_data_info
from evonorm_tf import checks
from evonorm_tf.data import orientation as exif_orientation
from evonorm_tf.data.image_files import silent_jpeg_library
from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import check_folder
from evonorm_tf.output.model_dir import lock
from evonorm_tf.output.model_dir import replacing
from evonorm_tf.output.model_dir import write_json
from evonorm_tf.output.printable import printable

_ANNOTATIONS, _REPORT, _SETTINGS = 'annotations.json', 'report.json', 'settings.json'
ORIENTATIONS = ('turned', 'stored')
_VERSION = 2  # in version 1, that of release 0.1, the labels in the records are the ids of the categories


def convert_coco(images: str | os.PathLike, annotations: str | os.PathLike, output: str | os.PathLike,
                 images_per_shard: int = 500, console: Console | None = None, orientation: str = 'turned') -> DataInfo:
  """Converts a data set, or continues an interrupted conversion. If it is already complete, only prints its report.

  Args:
    images: the path of the folder that contains the images.
    annotations: the path of an annotation file in COCO's format, JSON with masks.
    output: the path of the folder for the results. It may be moved when the conversion is complete.
    images_per_shard: the greatest number of images per TFRecord file (default 500).
    console: the rich Console that shows the progress and the report; None (default) for standard output.
    orientation: what the annotations mean of an image that has the stated size as stored and as its EXIF data turn it:
      'turned' (default), what a viewer shows, or 'stored', the stored pixels.

  Returns:
    The description of the converted data.

  Raises:
    ArgumentError: before any work, if an argument is invalid, the annotation file is not in COCO's format, or `output`
      contains anything but this conversion or is in use by another process; at the end, if no image could be converted.
  """
  images, output = pathlib.Path(images), pathlib.Path(output)
  if not isinstance(images_per_shard, int) or images_per_shard < 1:
    raise ArgumentError(f'`images_per_shard` must be an integer from 1 on, received {images_per_shard!r}.')
  check_folder(output, 'output')
  checks.check_choices(orientation=(orientation, ORIENTATIONS))
  coco = read_coco(annotations)
  if not is_prepared(output):
    _check_images(images, coco)
  console = console or Console()
  output.mkdir(parents=True, exist_ok=True)
  with open(output / LOCK, 'w', encoding='utf-8') as file:
    lock(file, 'conversion', argument='output')
    settings = {'version': _version(output), 'annotations_sha256': coco.sha256, 'images_per_shard': images_per_shard}
    if settings['version'] == _VERSION:
      settings['orientation'] = orientation
    claim(output, _SETTINGS, settings, 'conversion', argument='output')
    if not is_prepared(output):
      number = math.ceil(len(coco.images) / images_per_shard)
      shards = [_Shard(output, i, number, coco, orientation) for i in range(number)]
      _convert_shards(shards, images, console)
      _finish(shards, coco, output)
  console.print(Text(report_text(json.loads((output / _REPORT).read_text()))), soft_wrap=True)
  return read_data_info(output)


def _version(output: pathlib.Path) -> int:
  """Returns the version of a conversion that is complete, and else the present one: no folder has records of both."""
  path = output / _SETTINGS
  return json.loads(path.read_text()).get('version') if is_prepared(output) and path.exists() else _VERSION


def _check_images(images: pathlib.Path, coco: CocoFile) -> None:
  if not images.is_dir():
    raise ArgumentError(f"`images` must be a folder, received '{images}'.")
  if not any(_is_file(images, image) for image in coco.images):
    raise ArgumentError(f"`images` must be the folder of the images that `annotations` lists, received '{images}': of "
                        f"{len(coco.images)} it has none, such as '{printable(coco.images[0]['file_name'])}'.")


def _is_file(images: pathlib.Path, image: dict) -> bool:
  try:
    return (images / image['file_name']).is_file()
  except (OSError, ValueError):  # no name that the file system could have
    return False


class _Shard:
  """One of `shards` shards: every `shards`-th image of a data set, beginning with image `number`, and its two files."""

  def __init__(self, output: pathlib.Path, number: int, shards: int, coco: CocoFile, orientation: str):
    self.images, self._coco, self._orientation = coco.images[number::shards], coco, orientation
    self.records = output / f'records-{number:05d}-of-{shards:05d}.tfrecord'
    self.outcome = output / f'.{self.records.stem}.json'  # lists what was converted; written after the records

  def is_done(self) -> bool:
    """Returns whether the shard has been converted."""
    return self.records.exists() and self.outcome.exists()

  def convert(self, images: pathlib.Path, progress: ConversionProgress) -> None:
    """Writes the shard's TFRecord file and then its list of converted images and problems.

    Args:
      images: the folder that contains the images.
      progress: is advanced after every image.
    """
    converted, problems = [], []
    with replacing(self.records) as path, tf.io.TFRecordWriter(str(path)) as writer:
      for image in self.images:
        encoded, problem = _read_image(images, image, self._orientation)
        if problem:
          problems.append(problem)
        if encoded is not None:
          kept, found = clean_annotations(image, self._coco.annotations_by_image[image['id']],
                                          self._coco.category_names)
          problems += found
          converted.append((image, kept))
          writer.write(_record(encoded, image, kept, self._coco))
        progress.advance()
    write_json(self.outcome, {'converted': converted, 'problems': problems})

  def read_outcome(self) -> tuple[list[tuple[dict, list[dict]]], list[Problem]]:
    """Returns (converted, problems): pairs of an image and its annotations, and the problems, of a finished shard."""
    outcome = json.loads(self.outcome.read_text())
    return outcome['converted'], [Problem(*problem) for problem in outcome['problems']]


def _convert_shards(shards: list[_Shard], images: pathlib.Path, console: Console) -> None:
  earlier = sum(len(shard.images) for shard in shards if shard.is_done())
  with ConversionProgress(sum(len(shard.images) for shard in shards), earlier, console) as progress:
    for shard in shards:
      if not shard.is_done():
        shard.convert(images, progress)


def _read_image(images: pathlib.Path, image: dict, choice: str) -> tuple[bytes | None, Problem | None]:
  """Decodes an image as Model Garden will, and turns it if the annotations mean it turned.

  Args:
    images: the folder that contains the images.
    image: the image's entry in the annotation file.
    choice: one of `ORIENTATIONS`, for images that have the stated size both ways.

  Returns:
    (the content of an image file, or None if the image cannot be used; the problem or what is to be reported, or None).
  """
  name = image['file_name']
  if not _is_file(images, image):
    return None, Problem(MISSING_IMAGE, name)
  try:
    encoded = (images / name).read_bytes()
    with silent_jpeg_library():
      pixels = tf.io.decode_image(encoded, channels=3)
  except (tf.errors.OpError, OSError):
    return None, Problem(BROKEN_IMAGE, name)
  if len(pixels.shape) != 3:  # TensorFlow decodes a GIF as a sequence of frames
    return None, Problem(BROKEN_IMAGE, name)
  size, stated, orientation = tuple(pixels.shape[:2]), (image['height'], image['width']), exif_orientation.read(encoded)
  fits_stored = size == stated
  fits_turned = (size[::-1] if exif_orientation.swaps_sides(orientation) else size) == stated
  if not (fits_stored or fits_turned):
    return None, Problem(WRONG_SIZE, name)
  if orientation == 1:
    return encoded, None
  if fits_turned and (choice == 'turned' or not fits_stored):
    turned = tf.io.encode_png(exif_orientation.turn(pixels, orientation)).numpy()
    return turned, Problem(TURNED_BY_CHOICE if fits_stored else TURNED_BY_SIZE, name)
  return encoded, Problem(STORED_BY_CHOICE if fits_turned else STORED_BY_SIZE, name)


@functools.cache
def _model_garden() -> types.ModuleType:
  """Returns the module of Model Garden's converter.

  It defines flags and sets the level of TensorFlow's logger, so it is imported only when images are converted, and the
  level is restored.
  """
  level = tf.get_logger().level
  module = importlib.import_module('official.vision.data.create_coco_tf_record')
  tf.get_logger().setLevel(level)
  return module


def _record(encoded: bytes, image: dict, annotations: list[dict], coco: CocoFile) -> bytes:
  """Returns the serialized tf.Example of an image, whose classes are labels."""
  height, width, name = image['height'], image['width'], printable(image['file_name'])
  features = tfrecord_lib.image_info_to_feature_dict(height, width, name, image['id'], encoded, 'jpg')
  if annotations:
    readable = [annotation | {'category_id': coco.labels[annotation['category_id']],
                              'segmentation': _for_model_garden(annotation, image)} for annotation in annotations]
    names = {coco.labels[number]: name for number, name in coco.category_names.items()}
    objects, skipped = _model_garden().bbox_annotations_to_feature_dict(readable, height, width, names, True)
    if skipped:
      raise RuntimeError(f"Model Garden's converter refuses {skipped} annotations of {name}.")
    features |= objects
  return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _for_model_garden(annotation: dict, image: dict) -> list | dict:
  """Returns a segmentation in the form that Model Garden's converter accepts.

  This is a list of polygons or of run lengths or, for a crowd, run lengths that are not in a list.
  """
  segmentation, crowd = annotation['segmentation'], annotation['iscrowd']
  if isinstance(segmentation, list) and not crowd:
    return segmentation
  runs = encode_mask(decode_mask(segmentation, image['height'], image['width']))
  return runs if crowd else [runs]


def _finish(shards: list[_Shard], coco: CocoFile, output: pathlib.Path) -> None:
  """Writes the files that describe the whole data set, and removes the lists of the single shards."""
  outcomes = [shard.read_outcome() for shard in shards]
  converted = [entry for entries, _ in outcomes for entry in entries]
  problems = [*coco.problems, *(problem for _, found in outcomes for problem in found)]
  report = make_report(coco.num_images, coco.num_annotations, [kept for _, kept in converted], problems)
  write_json(output / _REPORT, report, end='\n')
  if not converted:
    raise ArgumentError(f'No image could be converted. Mend the data and remove {output}.\n{report_text(report)}')
  write_json(output / _ANNOTATIONS, {
      'images': [image for image, _ in converted], 'annotations': list(_numbered(converted)),
      'categories': [{'id': number, 'name': name} for number, name in coco.category_names.items()]}, end='\n')
  names = [shard.records.name for shard in shards]
  write_data_info(output, names, f'records-*-of-{len(shards):05d}.tfrecord', _ANNOTATIONS, len(converted),
                  coco.category_names, max(len(kept) for _, kept in converted))
  for shard in shards:
    shard.outcome.unlink()


def _numbered(converted: list[tuple[dict, list[dict]]]) -> Iterator[dict]:
  """Yields the annotations with ids from 1 on, because pycocotools mistakes a match with id 0 for no match."""
  annotations = (annotation for _, kept in converted for annotation in kept)
  for number, annotation in enumerate(annotations, start=1):
    yield annotation | {'id': number}
