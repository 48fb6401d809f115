"""A guard that ends the training of a GAN that has collapsed, that is, whose images stay bad.

BigGANs collapse late in training (Brock, Donahue, Simonyan, 2019, arXiv 1809.11096, section 4). Losses and weights may
stay finite then, so the guard watches the Fréchet Inception Distance (FID) of the evaluations. The best checkpoint
remains usable.
"""

from collections.abc import Mapping
import json
import os

from evonorm_tf.errors import EvoNormError
from gan.training.model import AdversarialModel


class Collapse(EvoNormError, FloatingPointError):
  """An error for a training run whose images stay bad; a command prints only its message, which says what may help."""


class CollapseGuard:
  """A guard against collapse: a callable that the trainer calls after each evaluation during training.

  It counts bad evaluations in a row. The count is a variable of the model and so is part of its checkpoints; a resumed
  training run continues it.

  Args:
    max_fid: the FID above which an evaluation is bad; None turns the guard off.
    evaluations: the number of bad evaluations in a row that ends the training, at least 1.
    model_dir: the path of the folder with the checkpoints. The error message describes the best one, in best/.
  """

  def __init__(self, max_fid: float | None, evaluations: int, model_dir: str):
    self._max_fid = max_fid
    self._evaluations = evaluations
    self._model_dir = model_dir

  def __call__(self, model: AdversarialModel, results: Mapping[str, float]) -> None:
    """Updates the count of bad evaluations in a row; a good evaluation resets it to 0.

    Args:
      model: the model that was evaluated; its variable `bad_evaluations` is the count.
      results: the results of the evaluation by name, with `fid` and `step`. An FID that is not a number is bad.

    Raises:
      Collapse: if the count reaches `evaluations`; the message names the best checkpoint.
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
