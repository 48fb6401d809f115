"""Console progress of a sweep: the run in progress, how runs have ended, and the time left."""

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
  """Prints a line when a run begins and another when it ends. The trainer shows the progress within a run.

  Args:
    runs: all runs of the sweep.
    results: by run; the caller updates it as runs end.
    console: where lines are printed; default: standard output.
  """

  def __init__(self, runs: Sequence[Run], results: Mapping[Run, Result], console: Console | None = None):
    self._runs, self._results = runs, results
    self._waiting = [run for run in runs if results[run].status != DONE]
    self._console = console or Console()

  def begin(self, run: Run) -> None:
    """Announces a run."""
    number = len(self._runs) - len(self._waiting) + 1
    self._print(f'Run {number} of {len(self._runs)}: {run}', self._time_left())

  def end(self, run: Run) -> None:
    """Shows the result of a run."""
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
  """Returns how many seconds the waiting runs will take; None if no run has ended yet.

  An epoch of small batches takes much longer than one of large batches. A run is expected to take the mean time of the
  finished runs with its norm-act and batch size; if there are none, of those with its batch size; else of all.
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
  """Returns a duration as hours, minutes and seconds."""
  return str(datetime.timedelta(seconds=int(seconds)))
