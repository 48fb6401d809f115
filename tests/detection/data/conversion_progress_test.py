"""The progress, on a console that writes to a string, by a clock of the test's."""

import io

from rich.console import Console

from detection.data.conversion_report import ConversionProgress


def test_lines_and_time_left():
  seconds = 0
  console = Console(file=io.StringIO(), width=30)
  with ConversionProgress(100, earlier=40, console=console, clock=lambda: seconds) as progress:
    for seconds in range(10, 310, 10):  # two images in ten seconds
      progress.advance(2)
  lines = console.file.getvalue().splitlines()
  assert lines[:2] == ['images 42/100, time left 0:04:50', 'images 48/100, time left 0:04:20']
  assert lines[-1] == 'images 100/100, time left 0:00:00' and len(lines) == 11


def test_bar():
  console = Console(file=io.StringIO(), width=60, force_terminal=True)
  with ConversionProgress(100, earlier=98, console=console) as progress:
    progress.advance(2)
  text = console.file.getvalue()
  assert 'images' in text and '100/100' in text and 'time left 0:00:00' in text
