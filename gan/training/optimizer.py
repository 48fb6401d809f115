"""The optimizers of a GAN's two networks: Adam (Kingma and Ba, 2015, arXiv 1412.6980) with separate learning rates."""

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
  """The settings of both Adam optimizers. Learning rates are constant; the defaults of β₁ and β₂ are BigGAN's.

  Attributes:
    generator_rate: the learning rate of the generator.
    discriminator_rate: the learning rate of the discriminator.
    beta_1: β₁, the decay of the moving average of the gradients, in [0, 1) (default 0).
    beta_2: β₂, the decay of the moving average of the squared gradients, in [0, 1) (default 0.999).
    epsilon: the constant in the denominator √v + ε̂ (default 1e-8). As in Keras, v is not corrected for its bias; ε̂ is
      that of the remark at the end of section 2 of Kingma and Ba.

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
    """Returns the settings that must stay the same when a training run resumes, by name.

    These are all but the learning rates. A checkpoint contains and restores them, so a changed value would be ignored.
    """
    return {'beta_1': self.beta_1, 'beta_2': self.beta_2, 'epsilon': self.epsilon}


class AdversarialOptimizer(tf.Module):
  """The pair of optimizers, one for each network, as one object that a checkpoint can contain.

  Args:
    adams: the settings of both optimizers.
    runtime_config: Model Garden's RuntimeConfig, which sets the precision; in float16 each network's loss is scaled.

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
    """The generator's learning rate. Model Garden's trainer logs this attribute of an optimizer."""
    return self.generator.learning_rate

  def create_slots(self, model: AdversarialModel) -> None:
    """Creates the variables of both optimizers, so that they exist when a checkpoint is restored.

    Args:
      model: the model whose generator and discriminator will be trained.
    """
    for optimizer, network in ((self.generator, model.generator), (self.discriminator, model.discriminator)):
      # Legacy optimizers have no public way to make their variables before the first step.
      optimizer._create_all_weights(network.trainable_variables)  # noqa: SLF001


def scaled(optimizer: Optimizer, loss: tf.Tensor) -> tf.Tensor:
  """Returns the loss to differentiate: in float16 a multiple of the loss, so that small gradients do not vanish.

  Args:
    optimizer: the optimizer of the network; in float16 it is a `LossScaleOptimizer`, which knows the multiple.
    loss: the loss of the network, a scalar.
  """
  is_scaling = isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
  return optimizer.get_scaled_loss(loss) if is_scaling else loss


def apply(optimizer: Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]) -> None:
  """Takes a step of an optimizer; to be called in each replica. Gradients are summed over the replicas.

  Args:
    optimizer: the optimizer of the network.
    gradients: the gradients of the result of `scaled`, one for each variable.
    variables: the variables to update.
  """
  if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
    gradients = optimizer.get_unscaled_gradients(gradients)
  optimizer.apply_gradients(list(zip(gradients, variables)))


def _make_adam(rate: float, adams: Adams, runtime_config: config_definitions.RuntimeConfig) -> Optimizer:
  optimizer = tf_keras.optimizers.legacy.Adam(
      lambda: rate,  # a plain number would be replaced by the one in a restored checkpoint
      adams.beta_1, adams.beta_2, adams.epsilon)
  return performance.configure_optimizer(
      optimizer, use_float16=runtime_config.mixed_precision_dtype == 'float16', loss_scale=runtime_config.loss_scale)
