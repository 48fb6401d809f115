"""The GAN trainer: run_gan trains, evaluates or shows a class-conditional GAN with a norm-activation layer.

The layer stands in the generator. Model Garden's runner does the work (`official.core.train_lib`); this module
describes the experiment to it. Statistics over a batch are those of a replica's generated images unless
`norm_act_options` asks for synchronized ones.
"""

import dataclasses
import functools
import os
import time

from official.core import config_definitions
from rich.console import Console

from evonorm_tf import checks
from evonorm_tf.errors import ArgumentError
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.training import config as training_config
from evonorm_tf.training.checkpoints import latest_checkpoint
from evonorm_tf.training.checkpoints import trained_model
from evonorm_tf.training.process import process_state
from evonorm_tf.training.process import reserved
from evonorm_tf.training.runner import ExperimentRunner
from gan.samples import pictures
from gan.samples.evaluation import describe
from gan.samples.evaluation import make_evaluation
from gan.training.collapse import CollapseGuard
from gan.training.task import AdversarialTask

MODES = ('train', 'eval', 'train_and_eval', 'sample')
_TRAINING_FIGURES = {'d_loss': 'd_loss {:.3f}', 'g_loss': 'g_loss {:.3f}'}


def run_gan(
    model_dir, mode, norm_act, networks, data, step, adams, steps, protocol, norm_act_options=None, standing_batches=0,
    eval_batch_size=None, max_fid=None, max_fid_evaluations=3, statistics_dir=None, truncation=None, classes=None,
    from_best=False, seed=0, strategy='one_device', tpu=None, precision='float32', jit_compile=False,
    steps_per_loop=20, steps_between_evaluations=1000, steps_between_checkpoints=1000, checkpoints_to_keep=3,
    histograms=False, operative_config=None, console=None):
  """Runs one experiment; the same arguments on the same `model_dir` go on where it stopped.

  Of the process's state, the seeds of Python, NumPy and TensorFlow are changed (`tf_keras.utils.set_random_seed`).

  Args:
    model_dir: receives checkpoints, TensorBoard events (train/, validation/), best/ by FID and, of mode 'sample',
      samples/.
    mode: one of `MODES`. 'sample' writes pictures that the averaged generator of a checkpoint makes.
    norm_act: the layer in every norm-act place of the generator: a name or the path of a layer graph, as `get_norm_act`
      takes it.
    networks: makes both networks, such as a `networks.BigGAN`.
    data: the images: a `data.Cifar10` or a `data.ImageNet`.
    step: what a step consists of: an `step.StepSettings`.
    adams: the optimizers: an `optimizer.Adams`.
    steps: those of the generator.
    protocol: how samples are measured: a `metrics.Protocol`.
    norm_act_options: arguments of the layer, such as {'groups': 16} or {'synchronized': True}.
    standing_batches: batches of standing statistics for images of the averaged generator; 0 for moving averages.
    eval_batch_size: samples made at a time; default: that of training; rounded up to a multiple of the replicas.
    max_fid: FID above which an evaluation is bad; None for none.
    max_fid_evaluations: so many bad evaluations in a row end the training.
    statistics_dir: receives the statistics of real images; default: real_statistics/ in `model_dir`.
    truncation: for mode 'sample' alone: |z| is at most that; None for no bound.
    classes: for mode 'sample' alone: the labels of the rows; None for ten or fewer, spread over all.
    from_best: for mode 'sample' alone: whether the checkpoint is the best one and not the newest.
    seed: of initial weights, order of the images, z and labels.
    strategy, tpu: see `strategy.get_strategy`.
    precision: one of `config.PRECISIONS`.
    jit_compile: whether XLA compiles the training step; for one replica without synchronized statistics.
    steps_per_loop: steps between two looks at the losses: progress, scalars, the test for finite values.
    steps_between_evaluations: the last one is at the end.
    steps_between_checkpoints: a checkpoint is saved at the end of a loop.
    checkpoints_to_keep: the newest so many.
    histograms: whether TensorBoard gets histograms of v1 and of unconditional γ.
    operative_config: a function that returns the configuration as text, for TensorBoard and the model directory.
    console: a rich Console for the progress; default: standard error.

  Returns:
    Of the modes that evaluate: a dictionary of the scores, such as `fid` and `inception_score`, `protocol` (a line that
    tells how they were measured), `seconds`, `step` and, of 'train_and_eval', `best_fid`. Of 'sample': the folder of
    the pictures. Of 'train': {}.

  Raises:
    ValueError: for a bad argument, missing data, or a `model_dir` that is in use or holds another model.
    FloatingPointError: if a loss or a weight is not finite any more, or, as `Collapse`, if FID stays above `max_fid`;
      the last good checkpoint is kept.
  """
  started = time.monotonic()
  norm_act_options = dict(norm_act_options or {})
  eval_batch_size = step.batch_size if eval_batch_size is None else eval_batch_size
  training_config.check_training(
      mode, MODES, precision, strategy, seed,
      dict(steps=steps, eval_batch_size=eval_batch_size, max_fid_evaluations=max_fid_evaluations,
           steps_per_loop=steps_per_loop, steps_between_evaluations=steps_between_evaluations,
           steps_between_checkpoints=steps_between_checkpoints, checkpoints_to_keep=checkpoints_to_keep), {})
  checks.check_integers(0, standing_batches=standing_batches)
  checks.check_positive(**({} if max_fid is None else {'max_fid': max_fid}))
  _check_pictures(mode, truncation, classes, from_best, data.num_classes)
  training_config.check_norm_act(norm_act, norm_act_options)
  training_config.check_jit_compile(jit_compile, norm_act_options, strategy)
  factory = get_norm_act(norm_act, **norm_act_options)
  networks.make_generator(factory, data.image_size, data.num_classes)  # to see whether they can be
  networks.make_discriminator(data.image_size, data.num_classes)
  if 'train' not in mode:
    latest_checkpoint(_checkpoints(model_dir, from_best))
  strategy_object = training_config.make_strategy(strategy, tpu, step.batch_size, mode)
  eval_batch_size = training_config.whole_batch(eval_batch_size, strategy_object)
  data.check()
  config = config_definitions.ExperimentConfig(
      runtime=training_config.runtime_config(strategy, precision),
      task=config_definitions.TaskConfig(
          train_data=config_definitions.DataConfig(is_training=True, global_batch_size=step.images),
          validation_data=config_definitions.DataConfig(is_training=False, global_batch_size=eval_batch_size)),
      trainer=training_config.loop_config(
          steps, steps_per_loop, steps_between_evaluations, steps_between_checkpoints, checkpoints_to_keep,
          best_metric='fid', best_is='lower'))
  notes = {'protocol': describe(protocol, data)}
  make_task = functools.partial(
      AdversarialTask, config.task, networks, factory, data, step, adams, seed, jit_compile, standing_batches)
  settings = {
      **dataclasses.asdict(networks), 'image_size': data.image_size, 'num_classes': data.num_classes,
      'norm_act': training_config.norm_act_settings(norm_act), 'norm_act_options': norm_act_options,
      **adams.settings(), 'loss_scale': config.runtime.loss_scale}
  console = console or Console(stderr=True)
  with (reserved(model_dir, mode, settings, strategy_object),
        process_state('float32' if mode == 'sample' else precision)):
    if mode == 'sample':
      return _sample(make_task(), config, model_dir, truncation, classes, from_best, console)
    evaluation = None
    if 'eval' in mode:
      evaluation = make_evaluation(protocol, data, eval_batch_size, seed, strategy_object,
                                   statistics_dir or os.path.join(model_dir, 'real_statistics'))
    runner = ExperimentRunner(
        strategy_object, make_task(evaluation), mode, config, model_dir, console, _TRAINING_FIGURES,
        _evaluation_figures(protocol), histograms, notes,
        [CollapseGuard(max_fid, max_fid_evaluations, model_dir)])
    if 'train' in mode:
      runner.describe(operative_config, lambda: _write_real_images(data, seed))
    results = runner.run()
  return {**results, **notes, 'seconds': time.monotonic() - started} if results else {}


def _check_pictures(mode: str, truncation, classes, from_best: bool, num_classes: int) -> None:
  """Raises ValueError unless what belongs to pictures is given for them alone, and can be."""
  if mode != 'sample':
    for name, value in (('truncation', truncation), ('classes', classes), ('from_best', from_best or None)):
      if value is not None:
        raise ArgumentError(f"`{name}` is for mode 'sample' alone, received {value!r} for {mode!r}.")
  if truncation is not None:
    checks.check_positive(truncation=truncation)
  if classes is not None and (not classes or any(label not in range(num_classes) for label in classes)):
    raise ArgumentError(f'`classes` must be labels from 0 to {num_classes - 1}, received {classes!r}.')


def _evaluation_figures(protocol) -> dict:
  """What the progress tells of an evaluation; scores by one network say nothing about those by another."""
  return {
      'fid': 'FID {:.2f}', 'inception_score': 'Inception Score {:.2f}', 'kid': 'KID {:.4f}',
      'precision': 'precision {:.3f}', 'recall': f'recall {{:.3f}} by {protocol.network_name}'}


def _checkpoints(model_dir: str, from_best: bool) -> str:
  return os.path.join(model_dir, 'best') if from_best else model_dir


def _sample(task, config, model_dir, truncation, classes, from_best, console) -> str:
  """Writes pictures of a checkpoint; returns their folder."""
  generator = trained_model(task, config, _checkpoints(model_dir, from_best)).average
  with task.standing(generator):
    grids = pictures.Pictures(generator, task.seed, classes, truncation).grids()
  folder = os.path.join(model_dir, 'samples')
  pictures.write_files(grids, folder)
  console.print(f'Pictures: {folder}', highlight=False, markup=False, soft_wrap=True)
  return folder


def _write_real_images(data, seed: int) -> None:
  """Shows images as the discriminator sees them to the default summary writer."""
  images, _ = next(iter(data.training_batches(pictures.COLUMNS**2, seed)))
  pictures.write_to_tensorboard({'real': pictures.make_grid(images.numpy(), pictures.COLUMNS)}, step=0)
