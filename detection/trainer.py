"""The detection trainer, which trains, evaluates, exports or uses a Mask R-CNN with any norm-activation layer.

This module defines the root function `run_mask_rcnn` and describes the experiment; `evonorm_tf.training.experiment`
runs it, and `detection.task` takes the training steps. Weight decay applies to kernels only.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import glob
import math
import os
from typing import Any
from typing import Protocol

from absl import logging
from official.core import config_definitions
from official.vision.configs import maskrcnn
from rich.console import Console
import tensorflow as tf

from detection.data.prepared import DataInfo
from detection.data.prepared import with_most_objects
from detection.models import MaskRCNN
from detection.results.export import Detector
from detection.results.export import export
from detection.results.predict import predict
from detection.task import MaskRCNNTask
from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.layers.registry import norm_act_settings
from evonorm_tf.models import backbones
from evonorm_tf.training import config as training_config
from evonorm_tf.training import experiment
from evonorm_tf.training.checkpoint_files import newest_readable
from evonorm_tf.training.checkpoints import trained_model
from evonorm_tf.training.config import Schedule
from evonorm_tf.training.config import SharedArguments
from evonorm_tf.training.optimization import Optimization

MODES = (*training_config.LOOP_MODES, 'export', 'predict')
_NETWORK = ('num_classes', 'input_size', 'min_level', 'max_level', 'anchor', 'decoder', 'rpn_head', 'detection_head',
            'mask_head', 'norm_activation')  # the fields that determine the variables and their meaning


class DetectorFamily(Protocol):
  """The protocol for the settings of a network, such as a `detection.models.ResNetFpn`."""

  def config(self, num_classes: int, image_size: int) -> MaskRCNN:
    """Returns Model Garden's configuration of the network.

    Args:
      num_classes: the number of categories plus 1, because class 0 is the background.
      image_size: the height and width of the images in pixels.

    Raises:
      ArgumentError: if the network cannot have this image size or number of classes.
    """


class DetectionData(Protocol):
  """The protocol for a source of training and validation images, such as a `detection.data.sources.CocoData`."""

  def read(self, console: Console | None = None) -> tuple[DataInfo, DataInfo]:
    """Returns the descriptions of the prepared images, (training, validation), after making them if the source can.

    Args:
      console: the rich Console that shows the progress of making them; None (default) for standard output.

    Raises:
      ArgumentError: if the images are missing or incomplete.
    """


@experiment.documents_shared_arguments
def run_mask_rcnn(
    model_dir: str, mode: str, norm_act: str | os.PathLike, model: DetectorFamily, data: DetectionData, image_size: int,
    optimization: Optimization, batch_size: int, epochs: float, norm_act_options: Mapping[str, Any] | None = None,
    init_checkpoint: str | None = None, eval_batch_size: int | None = None, weight_decay: float = 0.,
    scale_jitter: tuple[float, float] = (1., 1.), shuffle_buffer: int = 4096, seed: int = 0,
    strategy: str = 'one_device', tpu: str | None = None, precision: str = 'float32', jit_compile: bool = False,
    steps_per_loop: int = 20, epochs_between_evaluations: float = 1., epochs_between_checkpoints: float = 1.,
    checkpoints_to_keep: int = 3, histograms: bool = False, images: str | None = None,
    operative_config: Callable[[], str] | None = None, console: Console | None = None) -> experiment.Results | str:
  """Trains, evaluates, exports or uses a Mask R-CNN; the same call with the same `model_dir` resumes where it stopped.

  A resumed training run has the same images in its batches, but other random flips and scales; see `detection.task`.
  This sets the global seeds of Python, NumPy and TensorFlow (`tf_keras.utils.set_random_seed`).

  Args:
    model_dir: the folder that receives checkpoints, TensorBoard events (train/, validation/), the checkpoint with the
      highest average precision (AP) of masks (best/) and, by mode: 'eval': results_bbox.json and results_segm.json,
      result files in COCO's format; 'export': the SavedModel (export/); 'predict': pictures and JSON (predictions/).
    mode: one of `MODES`: 'train', 'eval' (the newest checkpoint), 'train_and_eval', 'export' or 'predict'.
    model: the settings of the network, a dataclass of `detection.models` such as `ResNetFpn`.
    data: the source of the images, such as a `detection.data.CocoData` or a `detection.data.ShapesData`.
    image_size: the side in pixels of the square into which images are fitted, keeping their aspect ratio; a multiple
      of the stride of the network's last level.
    optimization: the settings of the optimizer and the learning rate.
    batch_size: the number of images per training step, over all replicas.
    epochs: the length of training in passes over the training images; may be a fraction.
    init_checkpoint: the path of a folder with checkpoints of `run_classification`, whose backbone and layer must be
      those of this network; a new training run starts with this backbone's weights. None (default) for random weights.
    weight_decay: λ in the loss term λ/2·Σ‖kernel‖², at least 0 and below 1; default 0.
    scale_jitter: the least and the greatest random factor of a training image's size, relative to the size that fits
      into the square; the result is cropped or padded to the square. Default: (1., 1.), for no random scaling.
    shuffle_buffer: the size of the shuffle buffer in training images; default 4096.
    seed: the seed of the initial weights and the order of the images, an integer of at least 0; default 0.
    strategy: the accelerators, one of `devices.strategy.STRATEGIES`; see `devices.strategy.get_strategy`. If there are
      several hosts, each evaluates all images. Default: 'one_device'.
    epochs_between_evaluations: the approximate interval between evaluations, in epochs; default 1. It is adjusted so
      that they are evenly spaced and the last one is at the end of training.
    epochs_between_checkpoints: the least interval between checkpoints, in epochs; default 1. They are saved only at the
      end of a loop of `steps_per_loop` steps.
    images: a glob of image files, for mode 'predict' only; otherwise None (default).
    The arguments of every trainer: see `training.config.SharedArguments`.

  Returns:
    In modes 'eval' and 'train_and_eval', a dict with the results of the last evaluation: those of
    `detection.results.Evaluator`, such as `box/AP` and `mask/AP`, from 0 to 1; `step`; `seconds`, the time of this
    call; and, in 'train_and_eval', `best_mask/AP`. In modes 'export' and 'predict', the path of the folder that was
    written. In mode 'train', an empty dict.

  Raises:
    ArgumentError: for an invalid argument, missing data, or a `model_dir` that is in use or contains another model.
    NotFiniteError: if the loss or a weight is no longer finite; the last good checkpoint is kept.
    MachineError, TensorFlowError: if the operating system or TensorFlow fails, for instance for lack of memory.
  """
  shared = SharedArguments(
      model_dir, mode, norm_act, norm_act_options, eval_batch_size, seed, strategy, tpu, precision, jit_compile,
      steps_per_loop, checkpoints_to_keep, histograms, operative_config, console)
  schedule = Schedule(optimization, batch_size, epochs, epochs_between_evaluations, epochs_between_checkpoints)
  return experiment.run_experiment(_Detection(
      shared, schedule, model, data, image_size, init_checkpoint, weight_decay, scale_jitter, shuffle_buffer, images))


@dataclasses.dataclass
class _Detection(experiment.Experiment):
  """The experiment that `run_mask_rcnn` describes: its arguments and, once they are found, the data."""
  shared: SharedArguments
  schedule: Schedule
  model: DetectorFamily
  data: DetectionData
  image_size: int
  init_checkpoint: str | None
  weight_decay: float
  scale_jitter: tuple[float, float]
  shuffle_buffer: int
  images: str | None
  _image_files: list[str] = dataclasses.field(init=False)
  _train: DataInfo = dataclasses.field(init=False)
  _validation: DataInfo = dataclasses.field(init=False)

  modes = MODES
  training_figures = {'training_loss': 'loss {:.3f}'}

  @property
  def batch_size(self) -> int:
    return self.schedule.batch_size

  def check(self) -> None:
    shared = self.shared
    self.schedule.check()
    checks.check_integers(1, image_size=self.image_size, shuffle_buffer=self.shuffle_buffer)
    checks.check_rate(weight_decay=self.weight_decay)
    network = self.model.config(2, self.image_size)  # raises if it cannot be; the data will say how many classes
    follows = get_norm_act(shared.norm_act, **shared.options).leaves_open('synchronized')  # the network's setting
    if shared.jit_compile and follows and network.norm_activation.use_sync_bn:
      raise ArgumentError(f'`jit_compile=True` needs statistics that are not synchronized: {type(self.model).__name__}.'
                          'synchronized must be False, received True.')
    _check_scale_jitter(self.scale_jitter)
    self._image_files = _find_images(shared.mode, self.images)
    if 'train' in shared.mode and self.init_checkpoint is not None:
      checks.check_plain_paths(init_checkpoint=self.init_checkpoint)
      # A training that goes on needs it no longer.
      if not (newest_readable(shared.model_dir, logging.debug) or newest_readable(self.init_checkpoint, logging.debug)):
        raise ArgumentError(f"`init_checkpoint` must be a folder of checkpoints, received '{self.init_checkpoint}'.")

  def read_data(self, console: Console) -> None:
    self._train, self._validation = self.data.read(console)
    if 'train' in self.shared.mode:
      self._train = with_most_objects(self._train)

  def task_config(self, eval_batch_size: int) -> maskrcnn.MaskRCNNTask:
    return maskrcnn.MaskRCNNTask(
        model=self.model.config(self._train.num_classes, self.image_size), init_checkpoint=self.init_checkpoint,
        losses=maskrcnn.Losses(l2_weight_decay=self.weight_decay),
        train_data=_data_config(True, self.batch_size, self._train, self.scale_jitter, self.shuffle_buffer),
        validation_data=_data_config(False, eval_batch_size, self._validation))

  def trainer_config(self) -> config_definitions.TrainerConfig:
    return self.schedule.trainer_config(
        self._train.num_examples, self.shared.steps_per_loop, self.shared.checkpoints_to_keep, best_metric='mask/AP')

  def model_settings(self, config: config_definitions.ExperimentConfig) -> dict[str, Any]:
    network, backbone, ids = config.task.model.as_dict(), config.task.model.backbone, self._train.category_ids
    # Where classes are not the ids themselves, as they were in release 0.1, they depend on all ids.
    classes = {} if all(label == number for label, number in ids.items()) else {'category_ids': list(ids.values())}
    return {
        **classes,
        **{name: network[name] for name in _NETWORK},
        'backbone': {backbone.type: backbones.checkpoint_settings(backbone.get())},
        'norm_act': norm_act_settings(self.shared.norm_act), 'norm_act_options': self.shared.options,
        **training_config.optimizer_settings(self.schedule.optimization, config.runtime)}

  def make_task(self, config: config_definitions.ExperimentConfig, strategy: tf.distribute.Strategy) -> MaskRCNNTask:
    shared = self.shared
    writes_results = shared.mode == 'eval' and strategy.extended.should_checkpoint
    return MaskRCNNTask(config.task, self._train, self._validation, shared.norm_act, shared.options, shared.seed,
                        shared.jit_compile, results_folder=shared.model_dir if writes_results else None)

  def infer(self, config: config_definitions.ExperimentConfig, task: MaskRCNNTask) -> tuple[str, str]:
    data, model_dir = self._validation, self.shared.model_dir
    detector = Detector(trained_model(task, config, model_dir), config, data.class_names, data.category_ids)
    if self.shared.mode == 'export':
      return 'SavedModel', export(detector, os.path.join(model_dir, 'export'))
    folder = os.path.join(model_dir, 'predictions')
    predict(detector.from_images, self._image_files, folder, data.category_names, category_ids=data.category_ids)
    return 'Predictions', folder

  def evaluation_figures(self) -> Mapping[str, str]:
    return {'box/AP': 'box AP {:.3f}', 'mask/AP': 'mask AP {:.3f}'}


def _check_scale_jitter(scale_jitter: tuple[float, float]) -> None:
  if len(scale_jitter) != 2 or not 0 < scale_jitter[0] <= scale_jitter[1] < math.inf:
    raise ArgumentError(f'`scale_jitter` must be (least, greatest) factor above 0, received {scale_jitter}.')


def _find_images(mode: str, images: str | None) -> list[str]:
  """Returns the sorted files that a glob matches, or [] for None.

  Raises:
    ArgumentError: if the glob matches no file, is missing in mode 'predict', or is given in another mode.
  """
  if (images is not None) != (mode == 'predict'):
    raise ArgumentError(
        f"`images` must be given for mode 'predict' and for no other, received {images!r} for {mode!r}.")
  files = sorted(glob.glob(images, recursive=True)) if images else []
  if images and not files and os.path.isfile(images):
    files = [images]  # the name of one file, with brackets in it
  if images and not files:
    raise ArgumentError(f"`images` must match image files, received '{images}', which matches none.")
  return files


def _data_config(is_training: bool, batch_size: int, info: DataInfo, scale_jitter: tuple[float, float] = (1., 1.),
                 shuffle_buffer: int = 1) -> maskrcnn.DataConfig:
  """Returns Model Garden's configuration of batches and augmentation; images are float32, and the network casts them.

  Args:
    is_training: whether the batches are for training, with random flips.
    batch_size: the number of images per batch, over all replicas.
    info: the description of the images.
    scale_jitter: the least and the greatest random factor of an image's size.
    shuffle_buffer: the size of the shuffle buffer in images.
  """
  parser = maskrcnn.Parser(
      aug_rand_hflip=is_training, aug_scale_min=scale_jitter[0], aug_scale_max=scale_jitter[1])
  parser.max_num_instances = max(parser.max_num_instances, info.most_objects or 0)  # further ones would be background
  return maskrcnn.DataConfig(
      is_training=is_training, global_batch_size=batch_size, dtype='float32', shuffle_buffer_size=shuffle_buffer,
      parser=parser)
