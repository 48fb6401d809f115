"""Console progress of a sweep: the current run, the results of finished runs, and the estimated time left."""

from collections.abc import Mapping
from collections.abc import Sequence
import datetime
import statistics

from rich.console import Console
from rich.text import Text

from evonorm_tf.batch_size_sweep.runs import DONE
from evonorm_tf.batch_size_sweep.runs import Result
from evonorm_tf.batch_size_sweep.runs import Run
from evonorm_tf.output.markdown import one_line


class SweepProgress:
  """A display that prints one line when a run starts and another when it ends.

  Within a run, the trainer shows its own progress.

  Args:
    runs: all runs of the sweep.
    results: the result of each run, a mapping that the caller updates as runs end. Runs that are not done yet count as
      waiting.
    console: the rich Console for the lines; None, the default, for standard output.
  """

  def __init__(self, runs: Sequence[Run], results: Mapping[Run, Result], console: Console | None = None):
    self._runs, self._results = runs, results
    self._waiting = [run for run in runs if results[run].status != DONE]
    self._console = console or Console()

  def begin(self, run: Run) -> None:
    """Prints that a run starts, with its number and the estimated time left."""
    number = len(self._runs) - len(self._waiting) + 1
    self._print(f'Run {number} of {len(self._runs)}: {run}', self._time_left())

  def end(self, run: Run) -> None:
    """Prints the result of a run that has ended: its accuracy or its error, and the time that it took."""
    self._waiting.remove(run)
    result = self._results[run]
    outcome = f'accuracy {100 * result.metrics["accuracy"]:.2f}%' if result.status == DONE else (
        f'failed: {one_line(result.message)}')
    self._print(f'{run}: {outcome}', hours(result.metrics['seconds']))

  def _time_left(self) -> str:
    seconds = seconds_left(self._waiting, self._results)
    return f'time left {"unknown" if seconds is None else hours(seconds)}'

  def _print(self, *facts: str) -> None:
    self._console.print(Text(', '.join(facts)), soft_wrap=True)
    self._console.file.flush()


def seconds_left(waiting: Sequence[Run], results: Mapping[Run, Result]) -> float | None:
  """Estimates how long the waiting runs will take.

  An epoch of small batches takes much longer than one of large batches. So a run is expected to take the mean time of
  the finished runs with the same norm-act and batch size, or else of those with the same batch size, or else of all.

  Args:
    waiting: the runs that are still to be made.
    results: the result of each run; only successful runs count.

  Returns:
    The time in seconds, or None if no run has finished successfully.
  """
  done = [(run, result.metrics['seconds']) for run, result in results.items() if result.status == DONE]
  if not done:
    return None
  total = 0
  for run in waiting:
    same_size = [(other, seconds) for other, seconds in done if other.batch_size == run.batch_size]
    same_layer = [(other, seconds) for other, seconds in same_size if other.norm_act == run.norm_act]
    total += statistics.fmean(seconds for _, seconds in same_layer or same_size or done)
  return total


def hours(seconds: float) -> str:
  """Returns a duration in seconds as text, such as '2:03:04' or '1 day, 2:03:04'."""
  return str(datetime.timedelta(seconds=int(seconds)))
