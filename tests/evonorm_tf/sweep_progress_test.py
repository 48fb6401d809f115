"""The progress, on a console that writes to a string."""

import io

from rich.console import Console

from evonorm_tf import sweep_progress
from evonorm_tf.sweep_runs import DONE
from evonorm_tf.sweep_runs import FAILED
from evonorm_tf.sweep_runs import Result
from evonorm_tf.sweep_runs import Run
from tests.evonorm_tf.fake_training import grid


def done(seconds):
  return Result(DONE, {'accuracy': .43219, 'seconds': seconds})


def test_seconds_left_follow_layer_and_batch_size():
  results = {Run('a', 'a', 32, 0): done(10.), Run('a', 'a', 32, 1): done(20.), Run('b', 'b', 32, 0): done(30.),
             Run('a', 'a', 4, 0): done(100.), Run('b', 'b', 4, 0): Result(FAILED, {'seconds': 1.})}
  left = lambda *run: sweep_progress.seconds_left([Run(*run)], results)
  assert left('a', 'a', 32, 2) == 15  # its own
  assert left('c', 'c', 32, 0) == 20  # the same batch size
  assert left('b', 'b', 4, 1) == 100  # a failure does not count
  assert left('a', 'a', 8, 0) == 40  # nothing alike
  waiting = [Run('a', 'a', 32, 2), Run('c', 'c', 32, 0)]
  assert sweep_progress.seconds_left(waiting, results) == 35
  assert sweep_progress.seconds_left(waiting, dict.fromkeys(waiting, Result())) is None


class Clock:
  """A clock that is set by hand."""
  now = 0

  def __call__(self):
    return self.now


def test_plain_lines():
  runs, clock = grid(batch_sizes=(4,)), Clock()
  results = {runs[0]: done(60.), **dict.fromkeys(runs[1:], Result())}
  console = Console(file=io.StringIO(), force_terminal=False, width=40)
  with sweep_progress.SweepProgress(runs, results, console, clock) as progress:
    for run, result in zip(runs[1:], [Result(FAILED, {'seconds': 5.}, 'ValueError:\n[nan]'), done(100.), done(61.5)]):
      progress.begin(run)
      clock.now += result.metrics['seconds']
      results[run] = result
      progress.end(run)
  assert console.file.getvalue().splitlines() == [
      'evonorm_s0, batch 4, seed 0: run 2 of 4',
      'evonorm_s0, batch 4, seed 0: failed: ValueError: [nan], 0:00:05 long, time left 0:02:00',
      'bn_relu, batch 4, seed 1: run 3 of 4',
      'bn_relu, batch 4, seed 1: accuracy 43.22%, 0:01:40 long, time left 0:01:20',
      'evonorm_s0, batch 4, seed 1: run 4 of 4',
      'evonorm_s0, batch 4, seed 1: accuracy 43.22%, 0:01:01 long']


def test_time_left_runs_down_during_a_run():
  runs, clock = grid(('bn_relu',), (4,)), Clock()
  progress = sweep_progress.SweepProgress(runs, {runs[0]: done(60.), runs[1]: Result()}, clock=clock)
  progress.begin(runs[1])
  times = []
  for now in (0, 45, 90):
    clock.now = now
    times.append(progress.time_left())
  assert times == ['time left 0:01:00', 'time left 0:00:15', 'time left 0:00:00']


def test_a_terminal_gets_a_bar():
  runs = grid(('bn_relu',), (4,))
  results = dict.fromkeys(runs, Result())
  console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
  with sweep_progress.SweepProgress(runs, results, console, Clock()) as progress:
    progress.begin(runs[0])
    results[runs[0]] = done(60.)
    progress.end(runs[0])
    progress.begin(runs[1])
  shown = console.file.getvalue()
  assert 'bn_relu, batch 4, seed 0: accuracy 43.22%' in shown and '1/2' in shown and 'time left 0:01:00' in shown
