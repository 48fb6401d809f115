"""The detection trainer: run_mask_rcnn trains, evaluates or exports a Mask R-CNN with a norm-activation layer.

Model Garden's runner does the work (`official.core.train_lib`), its MaskRCNNTask the step; this module describes the
experiment to them. Weight decay spares all but kernels.
"""

import glob
import math
import os
import time

from official.core import config_definitions
from official.vision.configs import maskrcnn
from rich.console import Console

from detection.results.export import Detector
from detection.results.export import export
from detection.results.predict import predict
from detection.task import MaskRCNNTask
from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError
from evonorm_tf.training import config as training_config
from evonorm_tf.training.checkpoints import latest_checkpoint
from evonorm_tf.training.checkpoints import trained_model
from evonorm_tf.training.process import process_state
from evonorm_tf.training.process import reserved
from evonorm_tf.training.runner import ExperimentRunner

MODES = ('train', 'eval', 'train_and_eval', 'export', 'predict')
_TRAINING_FIGURES = {'training_loss': 'loss {:.3f}'}
_EVALUATION_FIGURES = {'box/AP': 'box AP {:.3f}', 'mask/AP': 'mask AP {:.3f}'}
_NETWORK = ('num_classes', 'input_size', 'min_level', 'max_level', 'anchor', 'decoder', 'rpn_head', 'detection_head',
            'mask_head', 'norm_activation')  # what of its configuration makes the variables and their meaning


def run_mask_rcnn(
    model_dir, mode, norm_act, model, data, image_size, optimization, batch_size, epochs, norm_act_options=None,
    init_checkpoint=None, eval_batch_size=None, weight_decay=0., scale_jitter=(1., 1.), shuffle_buffer=4096, seed=0,
    strategy='one_device', tpu=None, precision='float32', jit_compile=False, steps_per_loop=20,
    epochs_between_evaluations=1., epochs_between_checkpoints=1., checkpoints_to_keep=3, histograms=False, images=None,
    operative_config=None, console=None):
  """Runs one experiment; the same arguments on the same `model_dir` go on where it stopped.

  What of a resumed training is the same and what is not: see `task`. Of the process's state, the seeds of
  Python, NumPy and TensorFlow are changed (`tf_keras.utils.set_random_seed`).

  Args:
    model_dir: receives checkpoints, TensorBoard events (train/, validation/), best/ by the AP of masks and, by mode:
      'eval': results_bbox.json and results_segm.json, COCO's files of results, and events; 'export': export/;
      'predict': predictions/.
    mode: one of `MODES`.
    norm_act: the layer in every norm-act place: a name or the path of a layer graph, as `get_norm_act` takes it.
    model: a network of `detection.models`, such as a `ResNetFpn`.
    data: the images: a `sources.CocoData` or a `sources.ShapesData`.
    image_size: into whose square images are fitted, in pixels; a multiple of the stride of the network's last level.
    optimization: an `optimization.Optimization`.
    batch_size: images a step, of all replicas together.
    epochs: passes over the training images.
    norm_act_options: arguments of the layer, such as {'groups': 16} or {'synchronized': True}.
    init_checkpoint: a folder of checkpoints of run_classification with the backbone and layer of this network, to begin
      with its backbone's weights; None for random ones.
    eval_batch_size: default: `batch_size`; rounded up to a multiple of the replicas.
    weight_decay: λ of the loss term λ/2·Σ‖kernel‖².
    scale_jitter: least and greatest factor on a training image's size in the square; it is cropped or padded then.
    shuffle_buffer: training images among which to draw the next one.
    seed: of initial weights and the order of the images.
    strategy, tpu: see `strategy.get_strategy`. Of several hosts each evaluates all images.
    precision: one of `config.PRECISIONS`.
    jit_compile: whether XLA compiles the training step; for one replica without synchronized statistics.
    steps_per_loop: steps between two looks at the losses: progress, scalars, the test for finite values.
    epochs_between_evaluations: rounded such that all are equally many steps apart and the last is at the end.
    epochs_between_checkpoints: rounded to steps; a checkpoint is saved at the end of a loop.
    checkpoints_to_keep: the newest so many.
    histograms: whether TensorBoard gets histograms of γ and v1 of every layer.
    images: a glob of image files, for mode 'predict' alone.
    operative_config: a function that returns the configuration as text, for TensorBoard and the model directory.
    console: a rich Console for the progress; default: standard error.

  Returns:
    Of the modes that evaluate: a dictionary of the `Evaluator`'s results, such as `box/AP` and `mask/AP`, `seconds`,
    `step` and, of 'train_and_eval', `best_mask/AP`. Of 'export' and 'predict': their folder. Of 'train': {}.

  Raises:
    ValueError: for a bad argument, missing data, or a `model_dir` that is in use or holds another model.
    FloatingPointError: if the loss or a weight is not finite any more; the last good checkpoint is kept.
  """
  started = time.monotonic()
  norm_act_options = dict(norm_act_options or {})
  eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
  training_config.check_training(
      mode, MODES, precision, strategy, seed,
      dict(image_size=image_size, batch_size=batch_size, eval_batch_size=eval_batch_size,
           shuffle_buffer=shuffle_buffer, steps_per_loop=steps_per_loop, checkpoints_to_keep=checkpoints_to_keep),
      dict(epochs=epochs, epochs_between_evaluations=epochs_between_evaluations,
           epochs_between_checkpoints=epochs_between_checkpoints))
  checks.check_rate(weight_decay=weight_decay)
  training_config.check_norm_act(norm_act, norm_act_options)
  network = model.config(2, image_size)  # to see whether it can be; the data will tell the classes
  training_config.check_jit_compile(
      jit_compile, {'synchronized': network.norm_activation.use_sync_bn, **norm_act_options}, strategy)
  _check_scale_jitter(scale_jitter)
  image_files = _image_files(mode, images)
  if 'train' not in mode:
    latest_checkpoint(model_dir)
  elif init_checkpoint is not None and not os.path.exists(os.path.join(init_checkpoint, 'checkpoint')):
    raise ArgumentError(f"`init_checkpoint` must be a folder of checkpoints, received '{init_checkpoint}'.")
  strategy_object = training_config.make_strategy(strategy, tpu, batch_size, mode)
  eval_batch_size = training_config.whole_batch(eval_batch_size, strategy_object)
  console = console or Console(stderr=True)
  train, validation = data.read(console)
  config = config_definitions.ExperimentConfig(
      runtime=training_config.runtime_config(strategy, precision),
      task=maskrcnn.MaskRCNNTask(
          model=model.config(train.num_classes, image_size), init_checkpoint=init_checkpoint,
          losses=maskrcnn.Losses(l2_weight_decay=weight_decay),
          train_data=_data_config(True, batch_size, scale_jitter, shuffle_buffer),
          validation_data=_data_config(False, eval_batch_size)),
      trainer=training_config.trainer_config(
          train.num_examples, optimization, batch_size, epochs, steps_per_loop, epochs_between_evaluations,
          epochs_between_checkpoints, checkpoints_to_keep, best_metric='mask/AP'))
  writes_results = mode == 'eval' and strategy_object.extended.should_checkpoint
  task = MaskRCNNTask(config.task, train, validation, norm_act, norm_act_options, seed, jit_compile,
                      results_folder=model_dir if writes_results else None)
  is_inference = mode in ('export', 'predict')
  settings = _model_settings(config, optimization, norm_act, norm_act_options)
  with (reserved(model_dir, mode, settings, strategy_object), process_state('float32' if is_inference else precision)):
    if is_inference:
      return _infer(mode, task, config, model_dir, validation.category_names, image_files, console)
    runner = ExperimentRunner(strategy_object, task, mode, config, model_dir, console, _TRAINING_FIGURES,
                              _EVALUATION_FIGURES, histograms)
    if 'train' in mode:
      runner.describe(operative_config)
    results = runner.run()
  return {**results, 'seconds': time.monotonic() - started} if results else {}


def _check_scale_jitter(scale_jitter) -> None:
  if len(scale_jitter) != 2 or not 0 < scale_jitter[0] <= scale_jitter[1] < math.inf:
    raise ArgumentError(f'`scale_jitter` must be (least, greatest) factor above 0, received {scale_jitter}.')


def _image_files(mode: str, images: str | None) -> list[str]:
  """Returns the files of a glob; ValueError unless it is given in mode 'predict' alone and matches some."""
  if (images is not None) != (mode == 'predict'):
    raise ArgumentError(f"`images` must be given for mode 'predict' and for no other, received {images!r} for {mode!r}.")
  files = sorted(glob.glob(images, recursive=True)) if images else []
  if images and not files:
    raise ArgumentError(f"`images` must match image files, received '{images}', which matches none.")
  return files


def _data_config(is_training, batch_size, scale_jitter=(1., 1.), shuffle_buffer=1) -> maskrcnn.DataConfig:
  """Returns Model Garden's description of batches and augmentation; images are float32 and the network casts them."""
  return maskrcnn.DataConfig(
      is_training=is_training, global_batch_size=batch_size, dtype='float32', shuffle_buffer_size=shuffle_buffer,
      parser=maskrcnn.Parser(aug_rand_hflip=is_training, aug_scale_min=scale_jitter[0], aug_scale_max=scale_jitter[1]))


def _model_settings(config, optimization, norm_act, norm_act_options) -> dict:
  """What a checkpoint depends on: its variables, and the options of the optimizer that would be restored from it."""
  network = config.task.model.as_dict()
  backbone = config.task.model.backbone
  return {
      **{name: network[name] for name in _NETWORK}, 'backbone': {backbone.type: backbone.get().as_dict()},
      'norm_act': training_config.norm_act_settings(norm_act), 'norm_act_options': norm_act_options,
      **training_config.optimizer_settings(optimization, config.runtime)}


def _infer(mode, task, config, model_dir, names, image_files, console) -> str:
  """Exports the newest checkpoint, or predicts by it; returns the folder of the results."""
  detector = Detector(trained_model(task, config, model_dir), config, names)
  if mode == 'export':
    folder = export(detector, os.path.join(model_dir, 'export'))
  else:
    folder = os.path.join(model_dir, 'predictions')
    predict(detector.from_images, image_files, folder, names)
  console.print(f'{"SavedModel" if mode == "export" else "Predictions"}: {folder}', highlight=False, markup=False,
                soft_wrap=True)
  return folder
