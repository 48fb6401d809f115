"""The step against one written out for eager execution, accumulation against one large batch, settings."""

import functools

import numpy as np
from official.core import config_definitions
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf.layers.norm_act import get_norm_act
from gan.networks import latents
from gan.training import losses
from gan.training.model import AdversarialModel
from gan.training.optimizer import Adams
from gan.training.optimizer import AdversarialOptimizer
from gan.training.step import AdversarialStep
from gan.training.step import StepSettings
from tests.gan.tiny_gan import SIZE
from tests.gan.tiny_gan import TinyNetworks

# Without it the first steps are all of one size, whatever the gradient, and rounding decides on the sign of some.
EPSILON = 1e-3


class Step(AdversarialStep):
  """What the task adds to a step: its seed and the variable of the step."""
  seed = 3

  def __init__(self, settings):
    super().__init__(None, settings)
    self.global_step = tf.Variable(0, dtype=tf.int64)

  def build_inputs(self, params, input_context=None):
    raise NotImplementedError


def make_model(norm_act='evonorm_s0', seed=1):
  tf_keras.utils.set_random_seed(seed)
  factory, networks = get_norm_act(norm_act, jit_compile=False), TinyNetworks()
  generator, average = (networks.make_generator(factory, SIZE, 10) for _ in range(2))
  discriminator = networks.make_discriminator(SIZE, 10)
  for network in (generator, average):
    network((tf.zeros([1, 4]), tf.zeros([1], tf.int32)))
  discriminator((tf.zeros([1, SIZE, SIZE, 3]), tf.zeros([1], tf.int32)))
  return AdversarialModel(generator, discriminator, average)


def make_optimizer(model, precision='float32', **changes):
  runtime = config_definitions.RuntimeConfig(mixed_precision_dtype=precision, loss_scale=None)
  adams = Adams(**dict(generator_rate=.1, discriminator_rate=.05, epsilon=EPSILON) | changes)
  optimizer = AdversarialOptimizer(adams, runtime)
  optimizer.create_slots(model)
  return optimizer


def inputs(count, seed=0):
  rng = np.random.default_rng(seed)
  return (tf.constant(rng.uniform(-1, 1, [count, SIZE, SIZE, 3]), tf.float32),
          tf.constant(rng.integers(0, 10, [count])))


def train(settings, steps=3, **options):
  """Returns the model after some steps, and the logs of the last."""
  model = make_model()
  step, optimizer = Step(settings), make_optimizer(model, **options)
  function = tf.function(functools.partial(step.train_step, model=model, optimizer=optimizer), autograph=False)
  for number in range(steps):
    logs = function(inputs(settings.images, number))
    step.global_step.assign_add(1)
  return model, {name: float(value) for name, value in logs.items()}


def assert_equal(model, other, atol=1e-5):
  for a, b in zip(model.trainable_variables, other.trainable_variables, strict=True):
    np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=a.name)


def adam(variable, gradient, state, rate, beta_2=.999):
  """A step of Adam with β₁ = 0, in NumPy."""
  state['t'] = state.get('t', 0) + 1
  state['v'] = beta_2 * state.get('v', 0.) + (1 - beta_2) * gradient**2
  correction = np.sqrt(1 - beta_2**state['t'])
  variable.assign(variable - rate * correction * gradient / (np.sqrt(state['v']) + EPSILON))


def train_by_hand(d_steps, batch_size, steps=3):
  """The same training of the hinge loss without accumulation: another order of code, another Adam."""
  model, states = make_model(), {}

  def draw(number, phase):
    return latents.draw(latents.seed_of(3, latents.Purpose.TRAINING, number, phase), batch_size, 4, 10)

  def update(network, rate, loss, tape):
    for i, (variable, gradient) in enumerate(zip(network.trainable_variables,
                                                 tape.gradient(loss, network.trainable_variables))):
      adam(variable, tf.convert_to_tensor(gradient).numpy(), states.setdefault((network.name, i), {}), rate)

  for number in range(steps):
    images, labels = inputs(batch_size * d_steps, number)
    for phase in range(d_steps):
      z, fake_labels = draw(number, phase)
      fakes = model.generator((z, fake_labels))
      with tf.GradientTape() as tape:
        real = model.discriminator((images[phase::d_steps], labels[phase::d_steps]))
        fake = model.discriminator((fakes, fake_labels))
        loss = tf.reduce_mean(tf.maximum(0., 1. - real)) + tf.reduce_mean(tf.maximum(0., 1. + fake))
      update(model.discriminator, .05, loss, tape)
    z, fake_labels = draw(number, d_steps)
    with tf.GradientTape() as tape:
      loss = -tf.reduce_mean(model.discriminator((model.generator((z, fake_labels)), fake_labels)))
    update(model.generator, .1, loss, tape)
  return model, float(loss)


def test_steps_are_those_written_out():
  model, logs = train(StepSettings(4, d_steps=2))
  expected, g_loss = train_by_hand(2, 4)
  assert_equal(model, expected)
  assert logs['g_loss'] == pytest.approx(g_loss, rel=1e-4)
  assert logs['loss'] == pytest.approx(logs['d_loss'] + logs['g_loss'])
  start = make_model()
  assert max(np.abs(a - b).max() for a, b in zip(model.trainable_variables, start.trainable_variables)) > .01


@pytest.mark.parametrize('loss', [losses.hinge, losses.non_saturating, losses.wasserstein])
def test_accumulated_gradients_are_those_of_one_large_batch(loss):
  small, small_logs = train(StepSettings(3, d_steps=2, accumulations=2, loss=loss))
  large, large_logs = train(StepSettings(6, d_steps=2, loss=loss))
  assert_equal(small, large)
  assert small_logs == pytest.approx(large_logs, rel=1e-4, abs=1e-5)


def test_the_means_of_both_kinds_of_logits():
  """With tiny rates the discriminator stays, so that D(x) is what it says of all images of the step."""
  settings = StepSettings(4, d_steps=2, accumulations=2)
  model, logs = train(settings, steps=1, generator_rate=1e-9, discriminator_rate=1e-9)
  logits = model.discriminator(inputs(settings.images))
  assert logs['d_real'] == pytest.approx(float(tf.reduce_mean(logits)), rel=1e-4)
  assert logs['d_fake'] != pytest.approx(logs['d_real'])


def test_orthogonal_regularization_pulls_the_filters_apart():
  def products(model):
    kernel = model.generator.first.kernel.numpy().T  # 4 rows: of the few of them, not of the many columns
    gram = kernel.T @ kernel
    return np.square(gram - np.diag(np.diag(gram))).sum()

  without, strongly = (train(StepSettings(4, orthogonal=strength), steps=5)[0] for strength in (0., 10.))
  assert products(strongly) < .8 * products(without)


def test_float16_steps_are_close_to_float32():
  """The loss is scaled by 2¹⁵; were the gradients not brought back, Adam's ε would lose its meaning."""
  scaled, plain = (train(StepSettings(4, accumulations=2), precision=p, epsilon=1.)[0] for p in ('float16', 'float32'))
  assert_equal(scaled, plain, atol=1e-6)


@pytest.mark.parametrize('changes, message', [
    (dict(batch_size=0), '`batch_size`'), (dict(d_steps=0), '`d_steps`'), (dict(accumulations=1.5), '`accumulations`'),
    (dict(ema_decay=1.), '`ema_decay`'), (dict(ema_start=-1), '`ema_start`'), (dict(orthogonal=-1.), '`orthogonal`'),
    (dict(loss='hinge'), "`loss` must have `d_loss` and `g_loss`.*'hinge'")])
def test_settings_out_of_range(changes, message):
  with pytest.raises(ValueError, match=message):
    StepSettings(**dict(batch_size=4) | changes)
