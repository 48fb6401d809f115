"""The end of a training that has collapsed: images get worse and stay bad, though every number is finite.

BigGANs collapse late in training (Brock, Donahue, Simonyan, 2019, section 4); what counts then is the best checkpoint.
"""

import json
import os

from evonorm_tf.errors import EvoNormError


class Collapse(EvoNormError, FloatingPointError):
  """A training whose images are bad. A kin of a loss that is not finite: it ends a command with a message."""


class CollapseGuard:
  """Called behind each evaluation of a training.

  How many evaluations in a row were bad is a variable of the model, so that a resumed training counts on.

  Args:
    max_fid: the FID above which an evaluation is bad; None for none.
    evaluations: so many bad ones in a row end the training.
    model_dir: the folder of the checkpoints, with best/ in it.
  """

  def __init__(self, max_fid: float | None, evaluations: int, model_dir: str):
    self._max_fid = max_fid
    self._evaluations = evaluations
    self._model_dir = model_dir

  def __call__(self, model, results: dict) -> None:
    """Raises Collapse, naming the best checkpoint, if there were too many bad evaluations; `results` has `fid`."""
    if self._max_fid is None:
      return
    is_bad = not results['fid'] <= self._max_fid  # so that nan is bad
    bad = int(model.bad_evaluations.numpy()) + 1 if is_bad else 0
    model.bad_evaluations.assign(bad)
    if bad >= self._evaluations:
      raise Collapse(
          f'Training stopped, for FID has been above {self._max_fid:g} in {bad} evaluations in a row: '
          f'{results["fid"]:.2f} at step {results["step"]}. The best checkpoint is {self._best()}. A smaller learning '
          'rate, a larger batch or another seed may help.')

  def _best(self) -> str:
    folder = os.path.join(self._model_dir, 'best')
    with open(os.path.join(folder, 'info.json'), encoding='utf-8') as file:
      best = json.load(file)
    return f'in {folder}: FID {best["fid"]:.2f} at step {best["best_ckpt_global_step"]}'
