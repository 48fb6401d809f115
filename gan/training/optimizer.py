"""Adam for both networks of a GAN (Kingma and Ba, 2015, arXiv 1412.6980), each with a learning rate of its own."""

from collections.abc import Sequence
import dataclasses

from official.core import config_definitions
from official.modeling import performance
import tensorflow as tf
import tf_keras

from evonorm_tf import checks
from gan.training.model import AdversarialModel

Optimizer = tf_keras.optimizers.legacy.Optimizer | tf_keras.mixed_precision.LossScaleOptimizer


@dataclasses.dataclass(frozen=True)
class Adams:
  """Settings of both optimizers. Learning rates are constant; the defaults of β₁ and β₂ are BigGAN's.

  Attributes:
    generator_rate: learning rate of the generator.
    discriminator_rate: learning rate of the discriminator.
    beta_1: decay of the mean of the gradients, in [0, 1).
    beta_2: decay of the mean of their squares, in [0, 1).
    epsilon: ε, added to the root of the mean of squares before its bias is corrected, as in Keras: the paper's ε̂.

  Raises:
    ArgumentError: if a setting is out of range.
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
    """Returns what a checkpoint restores whatever the configuration says: everything but the learning rates."""
    return {'beta_1': self.beta_1, 'beta_2': self.beta_2, 'epsilon': self.epsilon}


class AdversarialOptimizer(tf.Module):
  """Both optimizers, which a checkpoint holds as one object.

  Args:
    adams: the settings.
    runtime_config: Model Garden's RuntimeConfig, which sets the precision; float16 scales each network's loss.

  Attributes:
    generator: the generator's optimizer.
    discriminator: the discriminator's optimizer.
  """

  def __init__(self, adams: Adams, runtime_config: config_definitions.RuntimeConfig):
    super().__init__()
    self.generator = _make_adam(adams.generator_rate, adams, runtime_config)
    self.discriminator = _make_adam(adams.discriminator_rate, adams, runtime_config)

  @property
  def learning_rate(self) -> tf.Tensor:
    """The generator's learning rate; Model Garden's trainer logs one."""
    return self.generator.learning_rate

  def create_slots(self, model: AdversarialModel) -> None:
    """Makes all variables of both optimizers."""
    for optimizer, network in ((self.generator, model.generator), (self.discriminator, model.discriminator)):
      # Legacy optimizers have no public way to make their variables before the first step.
      optimizer._create_all_weights(network.trainable_variables)  # noqa: SLF001


def scaled(optimizer: Optimizer, loss: tf.Tensor) -> tf.Tensor:
  """Returns the loss whose gradients `apply` takes: in float16 a multiple, so that small gradients do not vanish."""
  is_scaling = isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
  return optimizer.get_scaled_loss(loss) if is_scaling else loss


def apply(optimizer: Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]) -> None:
  """Takes a step along the gradients of a `scaled` loss; in a replica, they are summed with the other replicas'."""
  if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
    gradients = optimizer.get_unscaled_gradients(gradients)
  optimizer.apply_gradients(list(zip(gradients, variables)))


def _make_adam(rate: float, adams: Adams, runtime_config: config_definitions.RuntimeConfig) -> Optimizer:
  optimizer = tf_keras.optimizers.legacy.Adam(
      lambda: rate,  # a number would be restored from a checkpoint, whatever the configuration says
      adams.beta_1, adams.beta_2, adams.epsilon)
  return performance.configure_optimizer(
      optimizer, use_float16=runtime_config.mixed_precision_dtype == 'float16', loss_scale=runtime_config.loss_scale)
