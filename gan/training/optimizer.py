"""The optimizers of both networks: Adam (Kingma and Ba, 2015, arXiv 1412.6980), each with its own learning rate."""

import dataclasses

from official.modeling import performance
import tensorflow as tf
import tf_keras

from evonorm_tf import checks


@dataclasses.dataclass(frozen=True)
class Adams:
  """Settings of both; the rates are constant. The defaults of β₁ and β₂ are BigGAN's.

  Attributes:
    generator_rate: learning rate of the generator.
    discriminator_rate: learning rate of the discriminator.
    beta_1: decay of the mean of gradients, in [0, 1).
    beta_2: decay of the mean of their squares, in [0, 1).
    epsilon: ε, added to the root of that mean before its bias is corrected, as Keras has it: the paper's ε̂.

  Raises:
    ValueError: for a setting out of range.
  """
  generator_rate: float
  discriminator_rate: float
  beta_1: float = 0.
  beta_2: float = .999
  epsilon: float = 1e-8

  def __post_init__(self):
    checks.check_positive(generator_rate=self.generator_rate, discriminator_rate=self.discriminator_rate,
                           epsilon=self.epsilon)
    checks.check_rate(beta_1=self.beta_1, beta_2=self.beta_2)

  def settings(self) -> dict:
    """What is restored from a checkpoint, whatever the configuration says: all but the rates."""
    return {'beta_1': self.beta_1, 'beta_2': self.beta_2, 'epsilon': self.epsilon}


class AdversarialOptimizer(tf.Module):
  """Both optimizers, which a checkpoint holds as one.

  Args:
    adams: the settings.
    runtime_config: Model Garden's RuntimeConfig, which tells the precision: float16 scales each network's loss.

  Attributes:
    generator: the generator's optimizer.
    discriminator: the discriminator's.
  """

  def __init__(self, adams: Adams, runtime_config):
    super().__init__()
    self.generator = _make_adam(adams.generator_rate, adams, runtime_config)
    self.discriminator = _make_adam(adams.discriminator_rate, adams, runtime_config)

  @property
  def learning_rate(self):
    """The generator's, for Model Garden's trainer, which logs one."""
    return self.generator.learning_rate

  def create_slots(self, model) -> None:
    """Makes all variables for an `AdversarialModel`."""
    for name in ('generator', 'discriminator'):
      getattr(self, name)._create_all_weights(getattr(model, name).trainable_variables)


def scaled(optimizer, loss: tf.Tensor) -> tf.Tensor:
  """Returns the loss whose gradients `apply` takes: in float16 a multiple of it, so that small ones do not vanish."""
  is_scaling = isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
  return optimizer.get_scaled_loss(loss) if is_scaling else loss


def apply(optimizer, gradients: list, variables: list) -> None:
  """Takes a step by the gradients of a `scaled` loss; in a replica, whose gradients are summed with the others'."""
  if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
    gradients = optimizer.get_unscaled_gradients(gradients)
  optimizer.apply_gradients(list(zip(gradients, variables)))


def _make_adam(rate: float, adams: Adams, runtime_config):
  optimizer = tf_keras.optimizers.legacy.Adam(
      lambda: rate,  # a number would be restored from a checkpoint, whatever the configuration says
      adams.beta_1, adams.beta_2, adams.epsilon)
  return performance.configure_optimizer(
      optimizer, use_float16=runtime_config.mixed_precision_dtype == 'float16', loss_scale=runtime_config.loss_scale)
