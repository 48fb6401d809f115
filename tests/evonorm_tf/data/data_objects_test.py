"""The data objects have what the trainers ask of them, with the same arguments."""

import inspect

import pytest

from evonorm_tf import data
from evonorm_tf.data.data_objects import ClassificationData
import gan.data
from tests.evonorm_tf.tiny_training import TinyData
from tests.gan import tiny_gan


@pytest.mark.parametrize('kind, protocol', [
    (data.Cifar10, ClassificationData), (data.ImageNet, ClassificationData), (TinyData, ClassificationData),
    (gan.data.Cifar10, gan.data.GanData), (gan.data.ImageNet, gan.data.GanData), (tiny_gan.TinyData, gan.data.GanData)])
def test_the_protocol_is_fulfilled(kind, protocol):
  names = {name for name in dir(protocol) if not name.startswith('_')}
  assert names >= {'num_classes', 'image_size', 'check', 'training_batches', 'skipped_records'}
  assert names <= {*dir(kind), *kind.__dataclass_fields__}
  for name in names:
    asked = inspect.getattr_static(protocol, name)
    if inspect.isfunction(asked):
      offered = inspect.getattr_static(kind, name)
      assert list(inspect.signature(offered).parameters) == list(inspect.signature(asked).parameters), name
