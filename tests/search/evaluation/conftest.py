"""A training and a stability test that are fakes."""

import pytest

from search.evaluation import evaluation as evaluation_lib
from search.evaluation.rejection import StabilityTest


@pytest.fixture
def events(monkeypatch):
  """What a fake training and stability test did, in order. `accuracies` and `errors` steer them.

  An accuracy can be a list, of which each measurement takes one; on the test images it is half of that on the
  validation images. `accuracies['loss']` is the training loss.
  """
  events, accuracies, errors = [], {}, {}

  class FakeTraining:

    def __init__(self, task, architecture, norm_act, seconds):
      self.steps_done, self._family, self._seconds = 0, architecture.family, seconds
      self._note('build')

    def _note(self, *event):
      events.append((self._family, *event))
      if self._family in errors and errors[self._family][0] == event[0]:
        raise errors[self._family][1]

    def train(self, steps):
      self.steps_done += steps
      self._note('train', steps)
      return accuracies.get('loss', 1.)

    def accuracy(self, split):
      self._note('accuracy', split)
      accuracy = accuracies.get(self._family, .5)
      accuracy = accuracy.pop(0) if isinstance(accuracy, list) else accuracy
      return accuracy / 2 if split == 'test' else accuracy

    def close(self):
      closed.append(self._family)

  def check(self, task, norm_act):
    del self, task, norm_act
    events.append(('stability',))
    if 'stability' in errors:
      raise errors['stability']
    return 2.5

  closed = errors['closed'] = []
  monkeypatch.setattr(evaluation_lib, 'start_training', FakeTraining)
  monkeypatch.setattr(StabilityTest, 'check', check)
  return events, accuracies, errors
