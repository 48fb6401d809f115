"""Model Garden's Mask R-CNN task with a norm-activation layer, on prepared data; its training can be resumed.

Model Garden decodes and augments the images, makes the anchors, computes the losses and takes the training step. This
module makes the network, orders the images, evaluates by `Evaluator` and writes pictures of the evaluation.

A resumed training run repeats exactly: weights, optimizer, schedule and the images in a batch, a function of (seed,
step). It does not repeat the draws of flips, scales, anchors and proposals, which Model Garden takes from TensorFlow's
stateful generators. They begin anew, seeded by (seed, the step at which the run began).
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

from detection.data.prepared import DataInfo
from detection.models import build_mask_rcnn
from detection.pretrained import initialize_backbone
from detection.results.evaluation import Evaluator
from detection.results.visualize import write_comparisons
from evonorm_tf.data import record_streams
from evonorm_tf.training.resumable import ResumableTask

PICTURES = 8  # per evaluation, in TensorBoard


class MaskRCNNTask(ResumableTask, maskrcnn.MaskRCNNTask):
  """Instance segmentation of prepared images.

  Args:
    params: Model Garden's MaskRCNNTask configuration; `init_checkpoint` is a folder with a classifier's checkpoints.
    train: the training images.
    validation: the validation images.
    norm_act: the layer, as `build_mask_rcnn` takes it.
    norm_act_options: arguments of the layer.
    seed: of the initial weights and the order of the images.
    jit_compile: whether XLA compiles the training step.
    results_folder: receives the results of evaluations as COCO's files; None for no files.
    **kwargs: further arguments of Model Garden's task.
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

  def build_model(self) -> maskrcnn_model.MaskRCNNModel:
    """Returns the network; its initial weights follow from the seed."""
    tf_keras.utils.set_random_seed(self.seed)
    return build_mask_rcnn(self.task_config.model, self._norm_act, self._norm_act_options,
                           self.task_config.losses.l2_weight_decay)

  def initialize(self, model: maskrcnn_model.MaskRCNNModel) -> None:
    """Restores the backbone from a classifier, if one is given; called if there is no checkpoint of the detector."""
    if self.task_config.init_checkpoint:
      initialize_backbone(model, self.task_config.init_checkpoint)

  def build_inputs(self, params: config_definitions.DataConfig,
                   input_context: tf.distribute.InputContext | None = None, first_step: int = 0) -> tf.data.Dataset:
    """Returns Model Garden's batches of the training images from a step on, or of the validation images."""
    if params.is_training:
      records = self._training_records(params, first_step)
    else:
      records = self._evaluation_records(params, input_context or tf.distribute.InputContext())
    # Model Garden would read several files in an order of its own. For one file it uses what `dataset_fn` makes.
    params = params.replace(input_path=_files(self._train if params.is_training else self._validation)[0],
                            shuffle_buffer_size=1, sharding=params.is_training)
    return super().build_inputs(params, input_context, dataset_fn=lambda _: records.map(lambda _, record: record))

  def _training_records(self, params: config_definitions.DataConfig, first_step: int) -> tf.data.Dataset:
    # The seed of all random operations that are traced from now on, in the input and in the network.
    tf.random.set_seed(int(np.random.SeedSequence([self.seed, first_step]).generate_state(1)[0]))
    return record_streams.shuffled_records(
        _files(self._train), self._train.num_examples, self.seed, first_step * params.global_batch_size,
        params.shuffle_buffer_size)

  def _evaluation_records(self, params: config_definitions.DataConfig, context: tf.distribute.InputContext
                          ) -> tf.data.Dataset:
    """Returns all images on each host, because `Evaluator` sees only this host's, in full batches, which TPUs need.

    The last batch is filled with images that have come before; each image counts once.
    """
    batch = context.get_per_replica_batch_size(params.global_batch_size)
    batch *= context.num_replicas_in_sync // context.num_input_pipelines
    images = math.ceil(self._validation.num_examples / batch) * batch
    return record_streams.ordered_records(_files(self._validation), self._validation.num_examples).repeat().take(images)

  def _build_coco_metrics(self) -> None:
    self.coco_metric = Evaluator(self._validation.annotation_file, folder=self._results_folder)

  def validation_step(self, inputs: tuple[tf.Tensor, dict[str, Any]], model: maskrcnn_model.MaskRCNNModel,
                      metrics: Sequence[tf_keras.metrics.Metric] | None = None) -> dict[str, Any]:
    """Returns Model Garden's outputs of a batch and, for the pictures, its images; in a replica."""
    logs = super().validation_step(inputs, model, metrics)
    del logs[self.loss]  # a zero
    return {**logs, 'images': tf.cast(inputs[0], tf.float32)}

  def aggregate_logs(self, state: Any = None, step_outputs: dict[str, Any] | None = None) -> Any:
    """Adds a batch to the evaluation, and writes pictures of its first images."""
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


def _files(info: DataInfo) -> list[str]:
  return sorted(tf.io.gfile.glob(info.records))
