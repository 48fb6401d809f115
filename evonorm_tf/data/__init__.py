"""Input pipelines for CIFAR-10 and ImageNet; each training batch is a pure function of (seed, step)."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from evonorm_tf.data.cifar10 import Cifar10 as Cifar10
  from evonorm_tf.data.data_objects import ClassificationData as ClassificationData
  from evonorm_tf.data.data_objects import TrainingData as TrainingData
  from evonorm_tf.data.imagenet import ImageNet as ImageNet

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'cifar10': ('Cifar10',),
    'data_objects': ('ClassificationData', 'TrainingData'),
    'imagenet': ('ImageNet',),
})
