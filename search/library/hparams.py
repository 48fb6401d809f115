"""`HParams`, the callback that writes a search's settings and results for TensorBoard's HParams table."""

from collections.abc import Iterator
from typing import Any
from typing import TYPE_CHECKING

import tensorflow as tf

from search.library.callbacks import Callback

if TYPE_CHECKING:
  from search.library.opened_search import Search


class HParams(Callback):
  """Writes settings and results of a search for TensorBoard's HParams table, where searches can be compared.

  `tensorboard --logdir=runs` shows a row for each search below `runs`. Its columns are the settings that are numbers,
  texts or switches, such as 'strategy.fraction' and 'evaluation.task.learning_rate'; the curves of the search; and,
  when it has ended, 'best/reranking' and 'best/test', the best layer's accuracies in the re-ranking.

  Example:
    >>> import search
    >>> callbacks = [search.HParams()]  # of `search.run`
  """

  def on_search_begin(self, found: 'Search') -> None:
    """Writes the settings."""
    from tensorboard.plugins.hparams import api
    with self._writer(found).as_default(0):
      # TensorBoard takes runs of one `trial_id` for one trial.
      api.hparams(dict(_leaves(found.config)), trial_id=found.location)

  def on_search_end(self, found: 'Search') -> None:
    """Writes the best layer's accuracies."""
    best = found.best
    if best is None:
      return
    with self._writer(found).as_default(len(found.records)):
      for tag, scores in (('best/reranking', best.reranking_scores), ('best/test', best.test_scores)):
        if scores:
          tf.summary.scalar(tag, sum(scores.values()) / len(scores))

  def _writer(self, found: 'Search') -> tf.summary.SummaryWriter:
    return tf.summary.create_file_writer(str(found.model_dir / 'tensorboard'))


def _leaves(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
  """Yields the settings under their paths; of the re-ranking none, and of an object first its class under its own."""
  if isinstance(value, dict):
    if 'class' in value and name:
      yield name, value['class']
    for key, inner in value.items():
      if key not in ('class', 'reranking'):
        yield from _leaves(inner, f'{name}.{key}' if name else key)
  elif isinstance(value, list):
    yield name, ', '.join(str(v.get('family', v)) if isinstance(v, dict) else str(v) for v in value)
  elif value is not None:
    yield name, value
