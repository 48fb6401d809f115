"""Stands in for a trainer: takes no time, notes how it is called, and fails where it is told to."""

from evonorm_tf.batch_size_sweep.runs import make_runs


class FakeTraining:
  """Called like a trainer.

  Args:
    raises: the error of a run, by (norm_act, batch_size, seed).
  """

  def __init__(self, raises=None):
    self.raises = raises or {}
    self.calls = []

  def __call__(self, model_dir, mode, norm_act, batch_size, seed):
    self.calls.append(dict(model_dir=model_dir, mode=mode, norm_act=norm_act, batch_size=batch_size, seed=seed))
    if (norm_act, batch_size, seed) in self.raises:
      raise self.raises[norm_act, batch_size, seed]
    return {'accuracy': .5 + seed / 10, 'validation_loss': 1.25}

  @property
  def runs(self):
    """The calls so far, as (norm_act, batch_size, seed)."""
    return [(c['norm_act'], c['batch_size'], c['seed']) for c in self.calls]


def train(model_dir, mode, norm_act, batch_size, seed, rate, data_dir=None):
  """For gin files; a negative rate fails."""
  del model_dir, mode, norm_act, batch_size, data_dir
  if rate < 0:
    raise ArithmeticError(f'loss is nan at rate {rate}')
  return {'accuracy': rate + seed / 10}


def grid(norm_acts=('bn_relu', 'evonorm_s0'), batch_sizes=(32, 4), seeds=(0, 1)):
  """Runs of known layers."""
  return make_runs({name: name for name in norm_acts}, batch_sizes, seeds)
