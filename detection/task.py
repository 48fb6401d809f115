"""The TensorFlow Model Garden's Mask R-CNN task with any norm-activation layer; its training can be resumed.

A task supplies a trainer with the model, the data, the training step and the evaluation. Here Model Garden decodes and
augments the images, makes the anchors, computes the losses and takes the training step. This module builds the network,
orders the images, skips damaged ones (see `detection.data.record_batches`), evaluates with `Evaluator` and writes
pictures of the evaluation.

A resumed training run continues with exactly the weights, the optimizer's variables, the learning rate and the images
of an uninterrupted one; the images in a batch are a function of (seed, step). The random flips, scales, anchors and
proposals differ, because Model Garden draws them from TensorFlow's stateful generators. These start anew, with a seed
that is a function of (seed, the step at which the run started).
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
import os
from typing import Any

import numpy as np
from official.core import config_definitions
from official.vision.configs import maskrcnn as maskrcnn_config
from official.vision.modeling import maskrcnn_model
from official.vision.tasks import maskrcnn
import tensorflow as tf
import tf_keras

from detection.data import record_batches
from detection.data.prepared import DataInfo
from detection.data.prepared import record_files
from detection.models import build_mask_rcnn
from detection.pretrained import initialize_backbone
from detection.results.evaluation import Evaluator
from detection.results.visualize import write_comparisons
from evonorm_tf.data import record_streams
from evonorm_tf.training.resumable import ResumableTask

PICTURES = 8  # the number of images that an evaluation shows in TensorBoard


class MaskRCNNTask(ResumableTask, maskrcnn.MaskRCNNTask):
  """The task of training and evaluating a Mask R-CNN on prepared images.

  Args:
    params: Model Garden's configuration of a MaskRCNNTask. Here its `init_checkpoint` is the path of a folder with a
      classifier's checkpoints, or None.
    train: the description of the prepared training images.
    validation: the description of the prepared validation images.
    norm_act: the norm-activation layer: a name known to `get_norm_act`, or the path of a layer graph's JSON file.
    norm_act_options: the constructor arguments of that layer.
    seed: the seed of the initial weights and the order of the images, an integer of at least 0.
    jit_compile: whether XLA compiles the training step (default False).
    results_folder: the path of the folder that receives the result files of evaluations, in COCO's format; None
      (default) writes none.
    **kwargs: further arguments of Model Garden's task, such as `logging_dir` and `name`.
  """

  def __init__(self, params: maskrcnn_config.MaskRCNNTask, train: DataInfo, validation: DataInfo,
               norm_act: str | os.PathLike, norm_act_options: Mapping[str, Any], seed: int, jit_compile: bool = False,
               results_folder: str | None = None, **kwargs):
    super().__init__(params, seed, jit_compile, **kwargs)
    self._train = train
    self._validation = validation
    self._norm_act = norm_act
    self._norm_act_options = norm_act_options
    self._results_folder = results_folder
    self._shown = set()  # the ids of images whose pictures an evaluation has written
    self._skipped_before = record_streams.skipped_records()

  def build_model(self) -> maskrcnn_model.MaskRCNNModel:
    """Returns the network, with initial weights that depend only on the seed.

    This sets the global seeds of Python, NumPy and TensorFlow.
    """
    tf_keras.utils.set_random_seed(self.seed)
    return build_mask_rcnn(self.task_config.model, self._norm_act, self._norm_act_options,
                           self.task_config.losses.l2_weight_decay)

  def initialize(self, model: maskrcnn_model.MaskRCNNModel) -> None:
    """Restores the backbone from the classifier's checkpoint in `init_checkpoint`; does nothing if that is None.

    The trainer calls this at the start of a new training run, when there is no checkpoint of the detector yet.

    Args:
      model: the network that `build_model` returned.

    Raises:
      ArgumentError: if the checkpoint is missing or does not fit; see `pretrained.initialize_backbone`.
    """
    if self.task_config.init_checkpoint:
      initialize_backbone(model, self.task_config.init_checkpoint)

  def build_inputs(self, params: config_definitions.DataConfig,
                   input_context: tf.distribute.InputContext | None = None, first_step: int = 0) -> tf.data.Dataset:
    """Returns batches of the training images or of the validation images, as Model Garden's input pipeline makes them.

    Args:
      params: Model Garden's configuration of the batches; `is_training` selects the training images.
      input_context: the `tf.distribute.InputContext` of this host; None (default) for a single replica.
      first_step: the number of the first training step to make a batch for (default 0).

    Returns:
      A dataset of (images, labels): images `[batch, height, width, 3]`, normalized, and a dict of tensors. For training
      it is infinite. For validation it contains every image and, to fill the last batch, some images again. Records
      that cannot be read are replaced in training and left out in validation.

    Raises:
      ArgumentError: if no record can be read.
    """
    context = input_context or tf.distribute.InputContext()
    if params.is_training:
      records = self._training_records(params, first_step)
      if context.num_input_pipelines > 1:
        records = records.filter(
            lambda position, *_: position % context.num_input_pipelines == context.input_pipeline_id)
      decoded = record_batches.examples(records, self._train, 'training').map(lambda _, image: image)
    else:
      decoded = self._evaluation_images(params, context)
    return record_batches.batches(decoded, self.task_config.model, params, context)

  def skipped_records(self) -> int:
    """Returns the number of unreadable records that this process has skipped since the task was made."""
    return record_streams.skipped_records() - self._skipped_before

  def _training_records(self, params: config_definitions.DataConfig, first_step: int) -> tf.data.Dataset:
    # This seeds all random operations that are traced from now on, in the input pipeline and in the network.
    tf.random.set_seed(int(np.random.SeedSequence([self.seed, first_step]).generate_state(1)[0]))
    return record_streams.shuffled_records(
        record_files(self._train), self._train.num_examples, self.seed, first_step * params.global_batch_size,
        params.shuffle_buffer_size)

  def _evaluation_images(self, params: config_definitions.DataConfig, context: tf.distribute.InputContext
                         ) -> tf.data.Dataset:
    """Returns all validation images that can be read, on every host, because `Evaluator` sees only its own host's.

    TPUs need full batches, so the last batch is filled up with earlier images. `Evaluator` counts each image once.
    """
    batch = context.get_per_replica_batch_size(params.global_batch_size)
    batch *= context.num_replicas_in_sync // context.num_input_pipelines
    images = math.ceil(self._validation.num_examples / batch) * batch
    records = record_streams.ordered_records(record_files(self._validation), self._validation.num_examples)
    examples = record_batches.examples(records, self._validation, 'validation')
    return examples.filter(lambda own, _: own).map(lambda _, image: image).repeat().take(images)

  def _build_coco_metrics(self) -> None:
    self.coco_metric = Evaluator(self._validation.annotation_file, folder=self._results_folder)

  def validation_step(self, inputs: tuple[tf.Tensor, dict[str, Any]], model: maskrcnn_model.MaskRCNNModel,
                      metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> dict[str, Any]:
    """Runs the network on a replica's batch and returns what `Evaluator` needs.

    Args:
      inputs: the pair (images, labels) from `build_inputs`.
      model: the network.
      metrics: ignored; `Evaluator` computes the metrics.

    Returns:
      Model Garden's outputs for `Evaluator`, with the ids of the categories as `detection_classes`, and, under
      'images', the images as float32, for the pictures.
    """
    logs = super().validation_step(inputs, model, metrics)
    del logs[self.loss]  # Model Garden sets it to 0
    truth, found = logs[self.coco_metric.name]
    ids = _category_ids(self._validation)
    labels = tf.clip_by_value(tf.cast(found['detection_classes'], tf.int32), 0, len(ids) - 1)  # padding may be anything
    found = {**found, 'detection_classes': tf.gather(ids, labels)}
    return {**logs, self.coco_metric.name: (truth, found), 'images': tf.cast(inputs[0], tf.float32)}

  def aggregate_logs(self, state: Any = None, step_outputs: dict[str, Any] | None = None) -> Any:
    """Adds a batch to the evaluation, and writes pictures of the first `PICTURES` images of the evaluation.

    Args:
      state: the result of this method for the previous batch; None (default) begins a new evaluation.
      step_outputs: the result of `validation_step`, with a tuple over the replicas in place of each tensor.

    Returns:
      Model Garden's state of the evaluation, to be passed with the next batch.
    """
    if not state:
      self._shown = set()
    if len(self._shown) < PICTURES:
      self._write_pictures(step_outputs)
    return super().aggregate_logs(state, step_outputs)

  def _write_pictures(self, step_outputs: dict[str, Any]) -> None:
    """Writes the first images, with ground truth and predictions, to the default summary writer."""
    outputs = {'images': step_outputs['images'], **step_outputs[self.coco_metric.name][1]}
    outputs = {name: np.concatenate([replica.numpy() for replica in parts]) for name, parts in outputs.items()}
    new = {number: row for row, number in enumerate(outputs['source_id'].tolist()) if number not in self._shown}
    new = dict(list(new.items())[:PICTURES - len(self._shown)])
    self._shown |= new.keys()
    predictions = {name: value[list(new.values())] for name, value in outputs.items()}
    write_comparisons(predictions.pop('images'), predictions, self.coco_metric.coco,
                      tf.summary.experimental.get_step())


def _category_ids(info: DataInfo) -> np.ndarray:
  """Returns the id of each class's category, int64 `[num_classes]`; 0 for the background and unused classes."""
  return np.array([info.category_ids.get(label, 0) for label in range(info.num_classes)], np.int64)
