"""Training of a GAN: losses, optimizers, the training step, the averaged generator, and a guard against collapse."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from gan.training.collapse import Collapse as Collapse
  from gan.training.collapse import CollapseGuard as CollapseGuard
  from gan.training.losses import GanLoss as GanLoss
  from gan.training.losses import hinge as hinge
  from gan.training.losses import non_saturating as non_saturating
  from gan.training.losses import orthogonal_penalty as orthogonal_penalty
  from gan.training.losses import wasserstein as wasserstein
  from gan.training.model import AdversarialModel as AdversarialModel
  from gan.training.optimizer import Adams as Adams
  from gan.training.optimizer import AdversarialOptimizer as AdversarialOptimizer
  from gan.training.step import AdversarialStep as AdversarialStep
  from gan.training.step import StepSettings as StepSettings
  from gan.training.task import AdversarialTask as AdversarialTask

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'collapse': ('Collapse', 'CollapseGuard'),
    'losses': ('GanLoss', 'hinge', 'non_saturating', 'orthogonal_penalty', 'wasserstein'),
    'model': ('AdversarialModel',),
    'optimizer': ('Adams', 'AdversarialOptimizer'),
    'step': ('AdversarialStep', 'StepSettings'),
    'task': ('AdversarialTask',),
})
