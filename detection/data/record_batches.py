"""Batches for a Mask R-CNN from records of images: Model Garden's decoder and parser, after a check of every record.

Model Garden's input reader ends with TensorFlow's text at the first damaged record, and lets boxes that are not finite
and labels that no class has into the loss. Here a record is checked when it is decoded. One that cannot be used is
skipped, counted and logged with the name of its file, by the rules of `evonorm_tf.data.record_streams`: another one
takes its place in training, and an evaluation leaves it out.
"""

from official.vision.configs import maskrcnn
from official.vision.dataloaders import maskrcnn_input
from official.vision.dataloaders.tf_example_decoder import TfExampleDecoder
import tensorflow as tf

from detection.data.prepared import DataInfo
from detection.data.prepared import record_files
from evonorm_tf.data import record_streams
from evonorm_tf.errors import ArgumentError

_SPARES = 16  # the readable ones among this many first records replace unreadable records
_MARGIN = 1e-3  # of the image, by which rounding may move a box beyond the border


def examples(records: tf.data.Dataset, info: DataInfo, split: str) -> tf.data.Dataset:
  """Decodes and checks records.

  Args:
    records: a dataset as from `record_streams.shuffled_records`.
    info: the description of the prepared images.
    split: 'training' or 'validation', for messages.

  Returns:
    tf.data.Dataset of (own, decoded), in the order of `records`: `decoded` is the result of `decode`, and `own` is
    False if the record could not be used and another one, a function of the position, takes its place.

  Raises:
    ArgumentError: if no record can be used.
  """
  def decode_one(_, record):
    return decode(record, info.num_classes), True

  try:
    spares = record_streams.readable_records(
        record_streams.ordered_records(record_files(info), info.num_examples), _SPARES, decode_one)
  except ArgumentError as e:
    raise ArgumentError(f"The {split} images in '{info.records}' cannot be used. {e}") from e
  decoded = record_streams.examples(records, spares, decode_one, lambda _, image: image, split)
  return decoded.map(lambda own, example: (own, example[0]))


def decode(record: tf.Tensor, num_classes: int) -> dict[str, tf.Tensor]:
  """Decodes a record by Model Garden's `TfExampleDecoder`, with masks, and checks what that does not check.

  Args:
    record: the serialized tf.Example, a scalar string tensor.
    num_classes: the number of classes, with the background.

  Returns:
    The results of the decoder by name, such as `image` and `groundtruth_boxes`.

  Raises:
    tf.errors.InvalidArgumentError: if the record, its image or a mask cannot be decoded, there are not as many boxes,
      classes and masks, a mask has another size than the image, a class is none of 1 to `num_classes - 1`, a box or an
      area is not finite or out of range, or the image's id is no integer.
    ValueError: for some of these, where it does not run in a graph.
  """
  decoded = TfExampleDecoder(include_mask=True).decode(record)
  boxes, classes = decoded['groundtruth_boxes'], decoded['groundtruth_classes']
  masks, area = decoded['groundtruth_instance_masks'], decoded['groundtruth_area']
  size = tf.stack([decoded['height'], decoded['width']])
  counts = [tf.shape(decoded[f'groundtruth_{name}'])[0] for name in ('boxes', 'is_crowd', 'area', 'instance_masks')]
  checks = {
      'an image of the size stated': tf.reduce_all(tf.shape(decoded['image'], tf.int64)[:2] == size),
      'as many boxes, crowds, areas and masks as classes': tf.reduce_all(tf.stack(counts) == tf.shape(classes)[0]),
      'masks of the size of the image': tf.reduce_all(tf.shape(masks, tf.int64)[1:] == size),
      'masks of 0 and 1': tf.reduce_all(masks <= 1.),
      f'classes from 1 to {num_classes - 1}': tf.reduce_all((classes >= 1) & (classes < num_classes)),
      'boxes in the image': tf.reduce_all(  # false if one is not a number
          (boxes >= -_MARGIN) & (boxes <= 1 + _MARGIN) & (tf.tile(boxes[:, :2], [1, 2]) <= boxes)),
      'finite areas': tf.reduce_all(tf.math.is_finite(area) & (area >= 0))}
  asserted = [tf.debugging.Assert(passed, [f'the record must have {what}']) for what, passed in checks.items()]
  # The parser makes a number of the id, where nothing would catch the error. A number that nobody uses is not computed.
  decoded['source_id'] = tf.strings.as_string(tf.strings.to_number(decoded['source_id'], tf.int64))
  with tf.control_dependencies([it for it in asserted if it is not None]):  # None: it was run at once
    return {name: tf.identity(value) for name, value in decoded.items()}


def batches(decoded: tf.data.Dataset, model: maskrcnn.MaskRCNN, params: maskrcnn.DataConfig,
            context: tf.distribute.InputContext) -> tf.data.Dataset:
  """Makes batches as Model Garden's MaskRCNNTask does: augmentation or evaluation's scaling, anchors and targets.

  Args:
    decoded: a dataset of results of `decode`.
    model: Model Garden's configuration of the network.
    params: Model Garden's configuration of the batches and of the augmentation.
    context: the `tf.distribute.InputContext` of this host.

  Returns:
    A dataset of (images, labels) for a replica: images `[batch, height, width, 3]`, normalized, and a dict of tensors.
  """
  parser = params.parser
  parse = maskrcnn_input.Parser(
      output_size=model.input_size[:2], min_level=model.min_level, max_level=model.max_level,
      num_scales=model.anchor.num_scales, aspect_ratios=model.anchor.aspect_ratios,
      anchor_size=model.anchor.anchor_size, rpn_match_threshold=parser.rpn_match_threshold,
      rpn_unmatched_threshold=parser.rpn_unmatched_threshold, rpn_batch_size_per_im=parser.rpn_batch_size_per_im,
      rpn_fg_fraction=parser.rpn_fg_fraction, aug_rand_hflip=parser.aug_rand_hflip,
      aug_rand_vflip=parser.aug_rand_vflip, aug_scale_min=parser.aug_scale_min, aug_scale_max=parser.aug_scale_max,
      aug_type=parser.aug_type, skip_crowd_during_training=parser.skip_crowd_during_training,
      max_num_instances=parser.max_num_instances, include_mask=model.include_mask,
      outer_boxes_scale=model.outer_boxes_scale, mask_crop_size=parser.mask_crop_size, dtype=params.dtype
  ).parse_fn(params.is_training)
  size = context.get_per_replica_batch_size(params.global_batch_size)
  parsed = decoded.map(parse, tf.data.AUTOTUNE, deterministic=True)
  return parsed.batch(size, drop_remainder=params.drop_remainder).prefetch(tf.data.AUTOTUNE)
