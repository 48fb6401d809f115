"""The task of a GAN for Model Garden's runner: networks, data, evaluation by samples; the step is `AdversarialStep`.

What resumes exactly: both networks and their optimizers, the average, the data, z and labels. Evaluation looks at the
averaged generator alone.
"""

import contextlib

import tensorflow as tf
import tf_keras

from evonorm_tf.training.resumable import ResumableTask
from gan.networks.spectral_norm import singular_values
from gan.samples import pictures
from gan.samples.evaluation import SampleEvaluation
from gan.samples.standing_statistics import standing_statistics
from gan.training.model import AdversarialModel
from gan.training.optimizer import Adams
from gan.training.optimizer import AdversarialOptimizer
from gan.training.step import AdversarialStep
from gan.training.step import StepSettings


class AdversarialTask(ResumableTask, AdversarialStep):
  """Training and evaluation of a GAN.

  Args:
    params: Model Garden's TaskConfig; the global batch of `train_data` is `settings.images`.
    networks: makes them, as `networks.BigGAN`.
    norm_act: a factory of `get_norm_act`.
    data: a data object; see `data`.
    settings: of the step.
    adams: of the optimizers.
    seed: of initial weights, the order of the images, z and labels.
    jit_compile: whether XLA compiles the training step.
    standing: batches for standing statistics; 0 for the moving averages.
    evaluation: makes and measures samples; None without evaluations.
  """

  def __init__(self, params, networks, norm_act, data, settings: StepSettings, adams: Adams, seed: int,
               jit_compile: bool = False, standing: int = 0, evaluation: SampleEvaluation | None = None):
    super().__init__(params, seed, jit_compile, settings=settings)
    self._networks = networks
    self._norm_act = norm_act
    self._data = data
    self._adams = adams
    self._evaluation = evaluation
    self._standing = standing
    self._generator = None
    self._during_evaluation = contextlib.ExitStack()

  def skipped_records(self):
    return self._data.skipped_records()

  def build_model(self):
    tf_keras.utils.set_random_seed(self.seed)
    data, labels = self._data, tf.zeros([1], tf.int32)
    generator, average = (
        self._networks.make_generator(self._norm_act, data.image_size, data.num_classes, name)
        for name in ('generator', 'average'))
    discriminator = self._networks.make_discriminator(data.image_size, data.num_classes)
    for network in (generator, average):
      images = network((tf.zeros([1, network.z_size]), labels), training=False)
    discriminator((images, labels), training=False)
    self._generator = average
    return AdversarialModel(generator, discriminator, average)

  def initialize(self, model):
    """Nothing: there is no pretrained GAN to begin with."""

  def create_optimizer(self, optimizer_config, runtime_config=None, dp_config=None):
    return AdversarialOptimizer(self._adams, runtime_config)

  def create_slots(self, optimizer, model):
    optimizer.create_slots(model)

  def build_inputs(self, params, input_context=None, first_step=0):
    if params.is_training:
      return self._data.training_batches(params.global_batch_size, self.seed, first_step, input_context)
    return self._evaluation.numbers(input_context)

  def train_step(self, inputs, model, optimizer, metrics=None):
    logs = super().train_step(inputs, model, optimizer, metrics)
    model.update_average(self.settings.ema_decay, self.settings.ema_start, self.global_step)
    return logs

  def loop_logs(self, model, optimizer):
    """The discriminator's learning rate and σ(W) of all weights with spectral norm."""
    logs = {'discriminator_learning_rate': optimizer.discriminator.learning_rate}
    for name in ('generator', 'discriminator'):
      for weight, value in singular_values(getattr(model, name)).items():
        logs[f'singular_values/{name}/{weight.removeprefix(name + "/")}'] = value
    return logs

  def begin_evaluation(self, model):
    self._during_evaluation.enter_context(self.standing(model.average))

  def standing(self, generator):
    """A context with the generator's statistics for making images."""
    return standing_statistics(generator, self._standing, self.settings.batch_size, self.seed)

  def validation_step(self, inputs, model, metrics=None):
    return self._evaluation.measure(model.average, inputs)

  def aggregate_logs(self, state=None, step_outputs=None):
    """Keeps the outputs of the first replica here: they are those of all."""
    return (state or []) + [{name: parts[0].numpy() for name, parts in step_outputs.items()}]

  def reduce_aggregated_logs(self, aggregated_logs, global_step=None):
    """Returns the scores; writes the protocol and pictures to the default summary writer."""
    scores = self._evaluation.scores(aggregated_logs)
    step = tf.summary.experimental.get_step()
    tf.summary.text('protocol', self._evaluation.description, step)
    pictures.write_to_tensorboard(pictures.Pictures(self._generator, self.seed).grids(), step)
    self._during_evaluation.close()
    return scores
