"""The large allocations of TensorFlow on a CPU while a function runs, from the trace of TensorFlow's profiler.

TensorFlow's allocators report every allocation and release to the profiler, with address and size and, for most, the
operation. XLA's buffers come without one; theirs is the operation that was running in the same thread. On a CPU with
oneDNN, buffers below 256 KiB are malloc's and are not reported.
"""

from collections.abc import Callable
from collections.abc import Iterator
import pathlib
import tempfile
from typing import Any
from typing import NamedTuple

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2


class Allocation(NamedTuple):
  """A buffer.

  Attributes:
    operation: the name of the operation that allocated it, in the optimized graph; '' if it is not known. An operation
      that works in place hands its input's buffer on, which keeps the first operation's name.
    address, bytes: where it begins, and the number of bytes that were asked for.
    shape: the tensor's shape as TensorFlow prints it; '' if it is not known.
    begin, end: the times of allocation and release, in picoseconds; `end` is None if it was not released.
    is_temporary: whether the operation released it before it returned.
  """
  operation: str
  address: int
  bytes: int
  shape: str
  begin: int
  end: int | None
  is_temporary: bool


class Trace(NamedTuple):
  """What the profiler saw.

  Attributes:
    allocations: all allocations, in order of time.
    ends: when each operation last returned, in picoseconds, by the operation's name.
    bytes_before: the bytes that were in use before the first allocation, such as weights.
  """
  allocations: list[Allocation]
  ends: dict[str, int]
  bytes_before: int

  def live_at_peak(self) -> list[Allocation]:
    """Returns the allocations that live when their sum is largest, in order of time."""
    changes = sorted([(a.begin, a.bytes) for a in self.allocations]
                     + [(a.end, -a.bytes) for a in self.allocations if a.end is not None])
    total = largest = moment = 0
    for time, change in changes:
      total += change
      if total > largest:
        largest, moment = total, time
    return [a for a in self.allocations if a.begin <= moment and (a.end is None or a.end > moment)]


class _Event(NamedTuple):
  thread: int
  begin: int
  end: int
  name: str
  values: dict[str, Any]


def trace_allocations(function: Callable[[], Any]) -> Trace:
  """Calls a function and returns the allocations of TensorFlow meanwhile.

  Args:
    function: the function, which must not return before its work is done.
  """
  with tempfile.TemporaryDirectory() as folder:
    tf.profiler.experimental.start(folder)
    function()
    tf.profiler.experimental.stop()
    path, = pathlib.Path(folder).rglob('*.xplane.pb')
    events = sorted(_read_events(path), key=lambda event: event.begin)
  runs = {}  # the operations that ran in each thread, in order of time
  for event in events:
    if (operation := _operation(event)) is not None:
      runs.setdefault(event.thread, []).append((event.begin, event.end, operation))
  ends = {}
  for begin_end_operation in (run for thread_runs in runs.values() for run in thread_runs):
    ends[begin_end_operation[2]] = max(begin_end_operation[1], ends.get(begin_end_operation[2], 0))
  return _match(events, runs, ends)


def _match(events: list[_Event], runs: dict[int, list[tuple[int, int, str]]], ends: dict[str, int]) -> Trace:
  """Returns the trace, with each allocation joined to its release."""
  open_at, finished, bytes_before = {}, [], None
  for event in events:
    if event.name == 'MemoryAllocation':
      if bytes_before is None:
        bytes_before = event.values['bytes_allocated'] - event.values['allocation_bytes']
      open_at[event.values['addr']] = event
    elif event.name == 'MemoryDeallocation' and event.values['addr'] in open_at:
      finished.append((open_at.pop(event.values['addr']), event.begin))
  finished += [(event, None) for event in open_at.values()]
  allocations = []
  for event, end in finished:
    run = next((run for run in reversed(runs.get(event.thread, [])) if run[0] <= event.begin <= run[1]), None)
    allocations.append(Allocation(
        event.values.get('tf_op') or (run[2] if run else ''), event.values['addr'], event.values['requested_bytes'],
        event.values.get('shape', ''), event.begin, end, bool(run and end is not None and end <= run[1])))
  return Trace(sorted(allocations, key=lambda a: a.begin), ends, bytes_before or 0)


def _operation(event: _Event) -> str | None:
  """Returns the name of the operation whose run the event is, or None for any other event."""
  if event.name == 'ExecutorState::ProcessAsync::Start':
    return event.values.get('name')
  name, colon, operation_type = event.name.rpartition(':')
  return name if colon and operation_type.isidentifier() and not name.endswith(':') else None


def _read_events(path: pathlib.Path) -> Iterator[_Event]:
  space = xplane_pb2.XSpace.FromString(path.read_bytes())
  for plane in space.planes:
    for line in plane.lines:
      for event in line.events:
        begin = 1000 * line.timestamp_ns + event.offset_ps
        values = {plane.stat_metadata[stat.metadata_id].name: _value(plane, stat) for stat in event.stats}
        yield _Event(line.id, begin, begin + event.duration_ps, plane.event_metadata[event.metadata_id].name, values)


def _value(plane: xplane_pb2.XPlane, stat: xplane_pb2.XStat) -> Any:
  field = stat.WhichOneof('value')
  value = getattr(stat, field)
  return plane.stat_metadata[value].name if field == 'ref_value' else value
