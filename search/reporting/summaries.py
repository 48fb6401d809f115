"""TensorBoard summaries of a search, with the number of candidates evaluated as the step.

They are written at intervals of time, since a large search records hundreds of candidates a second. A copy, a candidate
that takes over the outcome of an equivalent one, has no step of its own; the curve of the number of copies is updated
with the next candidate that is evaluated.
"""

from collections.abc import Callable
from collections.abc import Sequence
import os
import statistics
import time

from matplotlib.figure import Figure
import numpy as np
import tensorflow as tf

from search.journal import records as records_lib
from search.journal.history import view
from search.journal.outcomes import EVOLUTION
from search.journal.record import Record
from search.journal.tally import RECENT
from search.journal.tally import Tally
from search.journal.tally import TOP
from search.reporting.layer_views import draw_layer
from search.reporting.layer_views import equation_of
from search.reporting.layer_views import SEARCH
from search.reporting.plots import progress_plot

SECONDS_BETWEEN_VALUES, SECONDS_BETWEEN_PLOTS = 5., 60.  # at least
SHARE = .02  # of the time that summaries of one kind may take


class _Interval:
  """Says when something is due again: after a time, and so late that it takes at most `SHARE` of the time."""

  def __init__(self, seconds: float, clock: Callable[[], float], next_at: float):
    self._seconds, self._clock, self._next_at = seconds, clock, next_at

  def is_due(self) -> bool:
    return self._clock() >= self._next_at

  def run(self, function: Callable[[], None]) -> None:
    """Calls the function and measures the time that it takes."""
    start = self._clock()
    function()
    self._next_at = start + max(self._seconds, (self._clock() - start) / SHARE)


class Summaries:
  """The writer of a search's TensorBoard summaries: curves, the best layer, progress plots and the configuration.

  Args:
    log_dir: the folder for the event files.
    written: the number of records that earlier runs of the search have written, and which are not written again
      (default 0).
    seconds_between_values: the least time from one point of the curves to the next, in seconds (default 5).
    seconds_between_plots: the least time from one progress plot to the next, in seconds (default 60).
    clock: returns the time in seconds (default: `time.monotonic`).
  """

  def __init__(self, log_dir: str | os.PathLike, written: int = 0,
               seconds_between_values: float = SECONDS_BETWEEN_VALUES,
               seconds_between_plots: float = SECONDS_BETWEEN_PLOTS, clock: Callable[[], float] = time.monotonic):
    self._writer = tf.summary.create_file_writer(str(log_dir))
    self._written = written
    self._values = _Interval(seconds_between_values, clock, clock())
    self._plots = _Interval(seconds_between_plots, clock, clock() + seconds_between_plots)
    # The records, if values, or the progress plot, lack a candidate of this run.
    self._without_values: Sequence[Record] | None = None
    self._unplotted: Sequence[Record] | None = None
    self._shown: Record | None = None  # the best candidate, once it is drawn

  def write(self, records: Sequence[Record]) -> None:
    """Writes the summaries that are due, unless the latest record is a copy or has been written before.

    Args:
      records: the search's records of all stages, in the order of the journal.
    """
    if len(records) <= self._written:
      return
    self._written, record = len(records), records[-1]
    if record.is_copy:
      return
    if record.stage == EVOLUTION:
      self._without_values = self._unplotted = records
      if self._values.is_due():
        self._values.run(self._write_values)
      if self._plots.is_due():
        self._plots.run(self._write_plot)
      return
    self._write_values()
    if record.is_accepted:
      with tf.device('CPU:0'), self._writer.as_default(view(records, Tally).evaluated + (record.seed or 0)):
        tf.summary.scalar(f'{record.stage}/{record.name}', record.mean_score)
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
    """Writes what is up to date neither in the curves nor in the latest progress plot, and closes the event file."""
    self._write_values()
    self._write_plot()
    self._writer.close()

  def _write_values(self) -> None:
    """Writes the values after the latest candidate, and the best one if it is new."""
    records, self._without_values = self._without_values, None
    if records is None:
      return
    with tf.device('CPU:0'), self._writer.as_default(view(records, Tally).evaluated):
      for tag, value in _scalars(records).items():
        if value is not None:
          tf.summary.scalar(tag, value)
      best = records_lib.best(records)
      if best is not None and best is not self._shown:
        self._shown, graph = best, best.layer_graph
        heading = f'{best.name}, mean validation accuracy {100 * best.mean_score:.1f}%'
        code = equation_of(graph).replace('\n', '\n    ')  # TensorBoard shows Markdown, but no LaTeX
        tf.summary.text('best/equation', f'{heading}\n\n    {code}')
        tf.summary.image('best/graph', image(draw_layer(graph, best.name, {SEARCH: best.scores})))
    self._writer.flush()

  def _write_plot(self) -> None:
    records, self._unplotted = self._unplotted, None
    if records is not None:
      with tf.device('CPU:0'), self._writer.as_default(view(records, Tally).evaluated):
        tf.summary.image('progress', image(progress_plot(records)))
      self._writer.flush()


def _scalars(records: Sequence[Record]) -> dict[str, float | None]:
  """Returns the values after the latest candidate by their tag in TensorBoard; None for those without a value yet."""
  tally = view(records, Tally)
  scalars = {
      'score/step_time_of_best': tally.best.step_time if tally.best else None,
      'score/best': tally.best.mean_score if tally.best else None,
      f'score/top_{TOP}_mean': records_lib.top_mean(records),
      f'score/mean_of_last_{RECENT}': statistics.fmean(tally.recent) if tally.recent else None,
      'search/filtered_share': records_lib.filtered_share(records),
      'search/candidates_a_minute': records_lib.candidates_a_minute(records),
      'search/copies': tally.copies or None,
      'search/stopped_at_a_rung': tally.stopped or None}
  for architecture, best in tally.best_by_architecture.items():
    scalars[f'best_by_architecture/{architecture}'] = best
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
