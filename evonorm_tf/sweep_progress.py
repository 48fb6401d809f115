"""The progress of a sweep: a line a run, and on a terminal a bar with the time left."""

import datetime
import statistics
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import rich.progress
from rich.console import Console
from rich.text import Text

from evonorm_tf.markdown import one_line
from evonorm_tf.sweep_runs import DONE
from evonorm_tf.sweep_runs import Result
from evonorm_tf.sweep_runs import Run


class SweepProgress:
  """Tells of each run as it begins and ends.

  Args:
    runs: all runs of the sweep.
    results: by run; whoever makes the runs updates it.
    console: where to; stdout by default.
    clock: the time in seconds.
  """

  def __init__(self, runs: Sequence[Run], results: Mapping[Run, Result], console: Console | None = None,
               clock: Callable[[], float] = time.monotonic):
    self._runs, self._results, self._clock = runs, results, clock
    self._waiting = [run for run in runs if results[run].status != DONE]
    self._begun_at = clock()
    self._console = console or Console()
    self._bar = rich.progress.Progress(
        rich.progress.TextColumn('{task.description}'), rich.progress.BarColumn(bar_width=None),
        rich.progress.MofNCompleteColumn(), rich.progress.TimeElapsedColumn(), _TimeLeft(self),
        console=self._console, disable=not self._console.is_terminal, expand=True, get_time=clock)
    self._task = self._bar.add_task('', total=len(runs), completed=len(runs) - len(self._waiting))

  def __enter__(self) -> 'SweepProgress':
    self._bar.start()
    return self

  def __exit__(self, *_) -> None:
    self._bar.stop()

  def begin(self, run: Run) -> None:
    """Shows which run is under way."""
    self._begun_at = self._clock()
    self._bar.update(self._task, description=str(run))
    if self._bar.disable:
      self._print(f'{run}: run {len(self._runs) - len(self._waiting) + 1} of {len(self._runs)}')

  def end(self, run: Run) -> None:
    """Shows the result of a run."""
    self._waiting.remove(run)
    self._begun_at = self._clock()
    self._bar.advance(self._task)
    result = self._results[run]
    seconds = hours(result.metrics['seconds'])
    outcome = f'accuracy {100 * result.metrics["accuracy"]:.2f}%' if result.status == DONE else (
        f'failed: {one_line(result.message)}')
    self._print(', '.join([f'{run}: {outcome}', f'{seconds} long', *filter(None, [self.time_left()])]))

  def time_left(self) -> str:
    """The time left; empty at the end."""
    if not self._waiting:
      return ''
    seconds = seconds_left(self._waiting, self._results)
    if seconds is None:
      return 'time left unknown'
    return f'time left {hours(max(0, seconds - (self._clock() - self._begun_at)))}'

  def _print(self, line: str) -> None:
    self._console.print(Text(line), soft_wrap=True)
    self._console.file.flush()


class _TimeLeft(rich.progress.ProgressColumn):
  """The time left."""
  max_refresh = 0.5

  def __init__(self, progress: SweepProgress):
    super().__init__()
    self._progress = progress

  def render(self, task: rich.progress.Task) -> Text:
    return Text(self._progress.time_left(), style='progress.remaining')


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
