"""TensorBoard summaries of a search, with the number of candidates evaluated as the step.

A copy, a candidate that takes over the outcome of an equivalent one, has no step of its own; the curve of the number of
copies is updated with the next candidate that is evaluated.
"""

from collections.abc import Sequence
import os
import statistics

from matplotlib.figure import Figure
import numpy as np
import tensorflow as tf

from search.graphs.drawing import draw_graph
from search.graphs.equation import equation_text
from search.journal import records as records_lib
from search.journal.outcomes import EVOLUTION
from search.journal.record import Record
from search.journal.records import TOP
from search.reporting.plots import progress_plot

RECENT = 20  # candidates with measured scores in the curve of the recent mean


class Summaries:
  """The writer of a search's TensorBoard summaries: curves, the best layer, progress plots and the configuration.

  Args:
    log_dir: the folder for the event files.
    written: the number of records that earlier runs of the search have written, and which are not written again
      (default 0).
    plot_every: the number of evaluated candidates from one progress plot to the next (default 25).
  """

  def __init__(self, log_dir: str | os.PathLike, written: int = 0, plot_every: int = 25):
    self._writer = tf.summary.create_file_writer(str(log_dir))
    self._written = written
    self._plot_every = plot_every
    self._unplotted: Sequence[Record] | None = None  # the records, if the last progress plot lacks a candidate

  def write(self, records: Sequence[Record]) -> None:
    """Writes the summaries of the latest record, unless it has been written before or is a copy.

    Args:
      records: the search's records of all stages, in the order of the journal.
    """
    if len(records) <= self._written:
      return
    self._written = len(records)
    record, step = records[-1], len(records_lib.evaluated(records))
    if record.is_copy:
      return
    with tf.device('CPU:0'), self._writer.as_default(step):
      if record.stage == EVOLUTION:
        self._write_candidate(records)
        self._unplotted = records
        if step % self._plot_every == 0:
          self._write_plot()
      elif record.is_accepted:
        tf.summary.scalar(f'{record.stage}/{record.name}', record.mean_score, step=step + (record.seed or 0))
    self._writer.flush()

  def write_text(self, tag: str, text: str) -> None:
    """Writes a text at step 0.

    Args:
      tag: the name in TensorBoard, such as 'operative_config'.
      text: Markdown.
    """
    with tf.device('CPU:0'), self._writer.as_default(0):
      tf.summary.text(tag, text)
    self._writer.flush()

  def close(self) -> None:
    """Writes a last progress plot, unless the latest one is up to date, and closes the event file."""
    if self._unplotted is not None:
      with tf.device('CPU:0'), self._writer.as_default(len(records_lib.evaluated(self._unplotted))):
        self._write_plot()
    self._writer.close()

  def _write_candidate(self, records: Sequence[Record]) -> None:
    for tag, value in _scalars(records).items():
      if value is not None:
        tf.summary.scalar(tag, value)
    best = records_lib.best(records)
    if best is records[-1]:
      graph, name = best.layer_graph, best.name
      heading = f'{name}, mean score {best.mean_score:.4f}'
      code = equation_text(graph).replace('\n', '\n    ')  # TensorBoard shows Markdown, but no LaTeX
      tf.summary.text('best/equation', f'{heading}\n\n    {code}')
      tf.summary.image('best/graph', image(draw_graph(graph, name, best.scores)))

  def _write_plot(self) -> None:
    tf.summary.image('progress', image(progress_plot(self._unplotted)))
    self._unplotted = None


def _scalars(records: Sequence[Record]) -> dict[str, float | None]:
  """Returns the values after the latest candidate by their tag in TensorBoard; None for those without a value yet."""
  measured = records_lib.measured(records)
  best = records_lib.best(records)
  recent = [r.mean_score for r in measured[-RECENT:]]
  scalars = {
      'score/step_time_of_best': best.step_time if best else None,
      'score/best': max((r.mean_score for r in measured), default=None),
      f'score/top_{TOP}_mean': records_lib.top_mean(records),
      f'score/mean_of_last_{RECENT}': statistics.fmean(recent) if recent else None,
      'search/filtered_share': records_lib.filtered_share(records),
      'search/candidates_a_minute': records_lib.candidates_a_minute(records),
      'search/copies': len(records_lib.copies(records)) or None,
      'search/stopped_at_a_rung': len(records_lib.stopped(records)) or None}
  for architecture in records_lib.architectures(measured):
    scalars[f'best_by_architecture/{architecture}'] = max(r.scores[architecture] for r in measured)
  for outcome, count in records_lib.counts_by_outcome(records).items():
    scalars[f'outcomes/{outcome.replace(": ", "_")}'] = count
  return scalars


def image(figure: Figure) -> np.ndarray:
  """Returns the pixels of a figure as a batch of one image, for `tf.summary.image`.

  Args:
    figure: a figure on an Agg canvas.

  Returns:
    RGBA pixels, uint8 `[1, height, width, 4]`.
  """
  figure.canvas.draw()
  return np.asarray(figure.canvas.buffer_rgba())[np.newaxis]
