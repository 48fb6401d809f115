"""The progress of a sweep: which run is under way, how it has ended, and the time left."""

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
  """Prints a line as a run begins and one as it ends. What happens within a run, its trainer shows.

  Args:
    runs: all runs of the sweep.
    results: by run; whoever makes the runs updates it.
    console: where to; stdout by default.
  """

  def __init__(self, runs: Sequence[Run], results: Mapping[Run, Result], console: Console | None = None):
    self._runs, self._results = runs, results
    self._waiting = [run for run in runs if results[run].status != DONE]
    self._console = console or Console()

  def begin(self, run: Run) -> None:
    """Tells that a run is under way."""
    number = len(self._runs) - len(self._waiting) + 1
    self._print(f'Run {number} of {len(self._runs)}: {run}', self._time_left())

  def end(self, run: Run) -> None:
    """Tells the result of a run."""
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
  """The seconds that runs will take; None if no run has ended yet.

  An epoch of small batches takes much longer than one of large batches. A run is expected to take the mean of those
  done that have its norm-act and batch size, else of those that have its batch size, else of all.
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
  """Hours, minutes and seconds."""
  return str(datetime.timedelta(seconds=int(seconds)))
