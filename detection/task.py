"""Model Garden's Mask R-CNN task with a norm-activation layer, on prepared data, which goes on where it stopped.

What Model Garden does: decoding, augmentation, anchors, losses, the training step. What is done here: the network, the
order of the images, evaluation by `Evaluator` and pictures of it.

What a resumed training repeats exactly: weights, optimizer, schedule and which images are in a batch, a function of
(seed, step). What it does not: the draws of flips, scales, anchors and proposals, which Model Garden takes from
TensorFlow's stateful generators. They begin anew, seeded by (seed, the step at which the run began).
"""

import math

import numpy as np
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

PICTURES = 8  # of an evaluation, in TensorBoard


class MaskRCNNTask(ResumableTask, maskrcnn.MaskRCNNTask):
  """Instance segmentation of prepared images.

  Args:
    params: Model Garden's MaskRCNNTask configuration; `init_checkpoint` is a folder with a classifier's checkpoints.
    train: the training images.
    validation: the validation images.
    norm_act, norm_act_options: the layer and its arguments, as `build_mask_rcnn` takes them.
    seed: of the weights' initial values and the order of the images.
    jit_compile: whether XLA compiles the training step.
    results_folder: receives the results of evaluations as COCO's files; None for no files.
  """

  def __init__(self, params, train: DataInfo, validation: DataInfo, norm_act, norm_act_options, seed, jit_compile=False,
               results_folder=None, **kwargs):
    super().__init__(params, seed, jit_compile, **kwargs)
    self._train = train
    self._validation = validation
    self._norm_act = norm_act
    self._norm_act_options = norm_act_options
    self._results_folder = results_folder
    self._shown = set()  # the ids of images whose pictures an evaluation has written

  def build_model(self):
    tf_keras.utils.set_random_seed(self.seed)
    return build_mask_rcnn(self.task_config.model, self._norm_act, self._norm_act_options,
                           self.task_config.losses.l2_weight_decay)

  def initialize(self, model):
    """Takes the backbone's weights from a classifier, if one is given; called where there is no checkpoint."""
    if self.task_config.init_checkpoint:
      initialize_backbone(model, self.task_config.init_checkpoint)

  def build_inputs(self, params, input_context=None, first_step=0):
    if params.is_training:
      records = self._training_records(params, first_step)
    else:
      records = self._evaluation_records(params, input_context or tf.distribute.InputContext())
    # Model Garden would read the files in an order of its own: of one file it takes what `dataset_fn` makes.
    params = params.replace(input_path=_files(self._train if params.is_training else self._validation)[0],
                            shuffle_buffer_size=1, sharding=params.is_training)
    return super().build_inputs(params, input_context, dataset_fn=lambda _: records.map(lambda _, record: record))

  def _training_records(self, params, first_step: int) -> tf.data.Dataset:
    # Of all random operations that are traced from now on, in the input as in the network.
    tf.random.set_seed(int(np.random.SeedSequence([self.seed, first_step]).generate_state(1)[0]))
    return record_streams.shuffled_records(
        _files(self._train), self._train.num_examples, self.seed, first_step * params.global_batch_size,
        params.shuffle_buffer_size)

  def _evaluation_records(self, params, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """All images on each host, for `Evaluator` sees this host's alone; full batches, which TPUs need.

    What fills the last batch are images that have come before: they count once.
    """
    batch = context.get_per_replica_batch_size(params.global_batch_size)
    batch *= context.num_replicas_in_sync // context.num_input_pipelines
    images = math.ceil(self._validation.num_examples / batch) * batch
    return record_streams.ordered_records(_files(self._validation), self._validation.num_examples).repeat().take(images)

  def _build_coco_metrics(self):
    self.coco_metric = Evaluator(self._validation.annotation_file, folder=self._results_folder)

  def validation_step(self, inputs, model, metrics=None):
    logs = super().validation_step(inputs, model, metrics)
    del logs[self.loss]  # a zero
    return {**logs, 'images': tf.cast(inputs[0], tf.float32)}

  def aggregate_logs(self, state=None, step_outputs=None):
    if not state:
      self._shown = set()
    if len(self._shown) < PICTURES:
      self._write_pictures(step_outputs)
    return super().aggregate_logs(state, step_outputs)

  def _write_pictures(self, step_outputs) -> None:
    """Shows the first images, with ground truth and predictions, in TensorBoard's default writer."""
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
