"""The progress of a conversion: a bar on a terminal, a plain line now and then where the output goes elsewhere."""

from collections.abc import Callable
import datetime
import math
import time

from rich.console import Console
import rich.progress


class ConversionProgress:
  """Shows how many images are done and the time left.

  Args:
    total: the number of images.
    earlier: how many of them an earlier run has done.
    console: where to; stdout by default.
    seconds_between_lines: the least time from one plain line to the next, where the output is no terminal.
    clock: the time in seconds.
  """

  def __init__(self, total: int, earlier: int = 0, console: Console | None = None, seconds_between_lines: float = 30,
               clock: Callable[[], float] = time.monotonic):
    self._total, self._earlier, self._done = total, earlier, earlier
    self._console = console or Console()
    self._clock, self._started_at, self._printed_at = clock, clock(), -math.inf
    self._seconds_between_lines = seconds_between_lines
    self._bar = rich.progress.Progress(
        rich.progress.TextColumn('images'), rich.progress.BarColumn(bar_width=None),
        rich.progress.MofNCompleteColumn(), rich.progress.TextColumn('{task.fields[left]}'),
        console=self._console, disable=not self._console.is_terminal, expand=True)
    self._task = self._bar.add_task('', total=total, completed=earlier, left=self._time_left())

  def __enter__(self) -> 'ConversionProgress':
    self._bar.start()
    return self

  def __exit__(self, *_) -> None:
    self._bar.stop()

  def advance(self, images: int = 1) -> None:
    """Counts images that are done."""
    self._done += images
    self._bar.update(self._task, completed=self._done, left=self._time_left())
    is_due = self._clock() - self._printed_at >= self._seconds_between_lines or self._done == self._total
    if self._bar.disable and is_due:
      self._console.print(f'images {self._done}/{self._total}, {self._time_left()}', highlight=False, soft_wrap=True)
      self._console.file.flush()
      self._printed_at = self._clock()

  def _time_left(self) -> str:
    done = self._done - self._earlier
    if not done:
      return 'time left unknown'
    seconds = (self._clock() - self._started_at) / done * (self._total - self._done)
    return f'time left {datetime.timedelta(seconds=int(seconds))}'
