"""A guard that ends the training of a GAN that has collapsed: its images stay bad, though every number is finite.

BigGANs collapse late in training (Brock, Donahue, Simonyan, 2019, section 4); the best checkpoint is what remains.
"""

from collections.abc import Mapping
import json
import os

from evonorm_tf.errors import EvoNormError
from gan.training.model import AdversarialModel


class Collapse(EvoNormError, FloatingPointError):
  """The images of a training run stay bad. Like a loss that is not finite, this ends a command with a message."""


class CollapseGuard:
  """Counts bad evaluations; to be called after each evaluation of a training run.

  The number of bad evaluations in a row is a variable of the model, so that a resumed training run continues to count.

  Args:
    max_fid: the FID above which an evaluation is bad; None turns the guard off.
    evaluations: the number of bad evaluations in a row that ends the training.
    model_dir: the folder of the checkpoints, which contains best/.
  """

  def __init__(self, max_fid: float | None, evaluations: int, model_dir: str):
    self._max_fid = max_fid
    self._evaluations = evaluations
    self._model_dir = model_dir

  def __call__(self, model: AdversarialModel, results: Mapping[str, float]) -> None:
    """Counts an evaluation.

    Args:
      model: its `bad_evaluations` is the count.
      results: of the evaluation, with `fid` and `step`.

    Raises:
      Collapse: if there were too many bad evaluations in a row; it names the best checkpoint.
    """
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
