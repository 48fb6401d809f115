"""The progress, on a console that writes to a string."""

import io

from rich.console import Console

from evonorm_tf.batch_size_sweep import progress as sweep_progress
from evonorm_tf.batch_size_sweep.runs import DONE
from evonorm_tf.batch_size_sweep.runs import FAILED
from evonorm_tf.batch_size_sweep.runs import Result
from evonorm_tf.batch_size_sweep.runs import Run
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


def test_lines():
  runs = grid(batch_sizes=(4,))
  results = {runs[0]: done(60.), **dict.fromkeys(runs[1:], Result())}
  console = Console(file=io.StringIO(), width=40)
  progress = sweep_progress.SweepProgress(runs, results, console)
  for run, result in zip(runs[1:], [Result(FAILED, {'seconds': 5.}, 'ValueError:\n[nan]'), done(100.), done(61.5)]):
    progress.begin(run)
    results[run] = result
    progress.end(run)
  assert console.file.getvalue().splitlines() == [
      'Run 2 of 4: evonorm_s0, batch 4, seed 0, time left 0:03:00',
      'evonorm_s0, batch 4, seed 0: failed: ValueError: [nan], 0:00:05',
      'Run 3 of 4: bn_relu, batch 4, seed 1, time left 0:02:00',
      'bn_relu, batch 4, seed 1: accuracy 43.22%, 0:01:40',
      'Run 4 of 4: evonorm_s0, batch 4, seed 1, time left 0:01:20',
      'evonorm_s0, batch 4, seed 1: accuracy 43.22%, 0:01:01']


def test_time_left_is_unknown_before_a_run_has_ended():
  runs = grid(('bn_relu',), (4,))
  console = Console(file=io.StringIO(), width=40)
  sweep_progress.SweepProgress(runs, dict.fromkeys(runs, Result()), console).begin(runs[0])
  assert console.file.getvalue() == 'Run 1 of 2: bn_relu, batch 4, seed 0, time left unknown\n'
