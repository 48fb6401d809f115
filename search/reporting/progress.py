"""Console progress of a search: bars on a terminal, or a plain line now and then if the output goes to a file."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import datetime
import io
import math
import sys
import time

from rich.console import Console
from rich.console import RenderableType
import rich.progress
from rich.text import Text

from evonorm_tf.errors import ArgumentError
from search.journal import records as records_lib
from search.journal.history import view
from search.journal.outcomes import EVOLUTION
from search.journal.outcomes import REFERENCE
from search.journal.outcomes import RERANKING
from search.journal.record import Record
from search.journal.tally import Tally
from search.reporting.layer_views import equation_of

PHASES = {REFERENCE: 'references', EVOLUTION: 'evolution', RERANKING: 're-ranking'}


class Progress:
  """The console progress of a search: the state of each phase, the time left, and the best candidate so far.

  A phase is the work on one stage: 'reference', 'evolution' or 'reranking'. Use the object as a context manager. The
  time left is estimated from the average over the whole phase, and not from the last few seconds as rich does, because
  evaluations take from a second (a rejection) to minutes. Records of earlier runs of the search are left out.

  Args:
    total_by_phase: the number of records that each phase will have at its end, by stage; `expect` corrects one.
    console: the console to write to; None (default) for standard output.
    seconds_between_lines: the shortest time from one plain line to the next, in seconds, where the console is not a
      terminal (default 30).
    clock: returns the time in seconds (default: `time.monotonic`).

  Raises:
    ArgumentError: for an unknown stage.
  """

  def __init__(self, total_by_phase: dict[str, int], console: Console | None = None,
               seconds_between_lines: float = 30, clock: Callable[[], float] = time.monotonic):
    unknown = sorted(set(total_by_phase) - set(PHASES))
    if unknown:
      raise ArgumentError(f'`total_by_phase` must have keys of {sorted(PHASES)}, received {unknown}.')
    self._total_by_phase = dict(total_by_phase)
    self._console = console or Console()
    self._bars = _Bars(self._console, clock)
    self._task: rich.progress.Task | None = None
    self._phase: str | None = None
    self._best: Record | None = None
    self._seconds_between_lines = seconds_between_lines
    self._clock, self._printed_at, self._line_is_due = clock, -math.inf, False

  def __enter__(self) -> 'Progress':
    self._bars.start()
    return self

  def __exit__(self, *_) -> None:
    self.end()

  def end(self) -> None:
    """Ends the last phase and its bar; what is printed from now on stands below."""
    self._end_phase()
    self._task = None
    self._bars.stop()

  def expect(self, phase: str, total: int) -> None:
    """Corrects the number of layers of a phase that has not begun; nothing is shown of a phase without layers.

    Args:
      phase: 'reference', 'evolution' or 'reranking'.
      total: the number of layers.

    Raises:
      ArgumentError: for an unknown phase.
    """
    if phase not in PHASES:
      raise ArgumentError(f'`phase` must be one of {sorted(PHASES)}, received {phase!r}.')
    self._total_by_phase[phase] = total

  def update(self, phase: str, records: Sequence[Record], seconds_allowed: float = math.inf) -> None:
    """Updates the progress of a phase. Call it at the start of the phase, and after each record.

    Args:
      phase: 'reference', 'evolution' or 'reranking'.
      records: the search's records of all stages. Those given in the first call of a phase count as results of earlier
        runs.
      seconds_allowed: the number of seconds from now in which the phase may begin evaluations; infinity (default) for
        no limit. Only the first call of a phase uses it.

    Raises:
      ArgumentError: if `total_by_phase` does not have the phase.
    """
    if self._total_by_phase.get(phase) == 0:
      return
    done = view(records, Tally).by_stage[phase]
    if phase != self._phase:
      self._begin_phase(phase, earlier=done, seconds_allowed=seconds_allowed)
    self._bars.update(self._task.id, completed=done, outcomes=_outcomes(phase, records),
                      updated_at=self._task.elapsed)
    self._describe_best(records_lib.best(records))
    self._line_is_due = True
    if self._clock() - self._printed_at >= self._seconds_between_lines:
      self._print_line()

  def _begin_phase(self, phase: str, earlier: int, seconds_allowed: float) -> None:
    if phase not in self._total_by_phase:
      raise ArgumentError(f'`phase` must be one of {sorted(self._total_by_phase)}, received {phase!r}.')
    self._end_phase()
    task_id = self._bars.add_task(PHASES[phase], total=self._total_by_phase[phase], earlier=earlier,
                                  seconds_allowed=seconds_allowed, updated_at=0., outcomes=_outcomes(phase, ()))
    self._task = next(task for task in self._bars.tasks if task.id == task_id)
    self._phase, self._printed_at = phase, -math.inf

  def _end_phase(self) -> None:
    if self._task:
      self._bars.stop_task(self._task.id)
      self._print_line()

  def _describe_best(self, record: Record | None) -> None:
    if record is not self._best:
      self._best = record
      equation = equation_of(record.layer_graph).replace('\n', '; ')
      self._bars.best = f'best: {record.name}, {100 * record.mean_score:.1f}%: {equation}'

  def _print_line(self) -> None:
    """Prints a plain line, unless the console is a terminal, which shows bars, or nothing has changed."""
    if self._bars.disable and self._line_is_due:
      task = self._task
      facts = [f'{task.description} {task.completed}/{task.total} ({task.percentage:.0f}%)',
               f'elapsed {_hours(task.elapsed)}', _time_left(task), task.fields['outcomes'],
               self._bars.best]
      line = ', '.join(filter(None, facts))
      self._console.print(Text(line), soft_wrap=True)
      self._console.file.flush()
      self._printed_at, self._line_is_due = self._clock(), False


def prefixed_console(name: str) -> Console:
  """Returns a console for one of several searches that run at a time: plain lines that begin with its name.

  Args:
    name: the search's name.
  """
  return Console(file=_Prefixed(name), force_terminal=False, width=10 ** 6)


class _Prefixed(io.TextIOBase):
  """Standard output, with a name before each line."""

  def __init__(self, name: str):
    self._name = name

  def write(self, text: str) -> int:
    """Writes text, whole lines at a time."""
    sys.stdout.write(''.join(f'{self._name}: {line}' if line.strip() else line for line in text.splitlines(True)))
    return len(text)

  def flush(self) -> None:
    """Flushes standard output."""
    sys.stdout.flush()


class _TimeLeft(rich.progress.ProgressColumn):
  """The column of the time left, which may be unknown."""
  max_refresh = 0.5

  def render(self, task: rich.progress.Task) -> Text:
    return Text(_time_left(task), style='progress.remaining')


class _Bars(rich.progress.Progress):
  """A bar for each phase and a line on the best candidate; where the console is no terminal, it only keeps the time."""

  def __init__(self, console: Console, clock: Callable[[], float]):
    self.best = 'no candidate accepted yet'
    super().__init__(
        rich.progress.TextColumn('{task.description}', markup=False), rich.progress.BarColumn(bar_width=None),
        rich.progress.MofNCompleteColumn(), rich.progress.TaskProgressColumn(), rich.progress.TimeElapsedColumn(),
        _TimeLeft(), rich.progress.TextColumn('{task.fields[outcomes]}', markup=False),
        console=console, disable=not console.is_terminal, expand=True, get_time=clock)

  def get_renderables(self) -> Iterable[RenderableType]:
    yield from super().get_renderables()
    yield Text(self.best, no_wrap=True, overflow='ellipsis')


def _outcomes(phase: str, records: Sequence[Record]) -> str:
  """Returns the number of accepted layers without copies, and the number of copies if there are any, in words."""
  tally = view(records, Tally)
  copies = tally.copies if phase == EVOLUTION else 0
  return f'{tally.accepted[phase]} accepted' + (f', {copies} copies' if copies else '')


def _time_left(task: rich.progress.Task) -> str:
  """Returns the time left at the average pace so far, within the time allowed; '' for a phase that has ended.

  The average is computed at each record, so that the time left falls, and does not rise, until the next record.
  """
  if task.finished or task.stop_time is not None:
    return ''
  done, updated_at = task.completed - task.fields['earlier'], task.fields['updated_at']
  end = updated_at + updated_at / done * task.remaining if done else math.inf
  seconds = min(end, task.fields['seconds_allowed']) - task.elapsed
  return f'time left {"unknown" if math.isinf(seconds) else _hours(max(seconds, 0))}'


def _hours(seconds: float | None) -> str:
  return str(datetime.timedelta(seconds=int(seconds or 0)))
