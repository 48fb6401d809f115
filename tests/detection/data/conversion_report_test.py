"""The report of a conversion, and its progress on a console that writes to a string, by a clock of the test's."""

import io

from rich.console import Console

from detection.data import conversion_report
from detection.data.conversion_report import BROKEN_IMAGE
from detection.data.conversion_report import ConversionProgress
from detection.data.conversion_report import EMPTY_MASK
from detection.data.conversion_report import Problem

CONVERTED = [[{'iscrowd': 0}, {'iscrowd': 1}], [], [{'iscrowd': 0}]]
PROBLEMS = [Problem(EMPTY_MASK, f'annotation {i}') for i in range(7)] + [Problem(BROKEN_IMAGE, 'b.jpg')]


def test_report():
  assert conversion_report.make_report(4, 10, CONVERTED, PROBLEMS) == {
      'images': 4, 'images_converted': 3, 'images_without_objects': 1,
      'annotations': 10, 'annotations_converted': 3, 'annotations_of_crowds': 1,
      'problems': {'broken_image': {'count': 1, 'first': ['b.jpg']},
                   'empty_mask': {'count': 7, 'first': [f'annotation {i}' for i in range(5)]}}}


def test_text():
  report = conversion_report.make_report(4, 10, CONVERTED, PROBLEMS)
  assert conversion_report.report_text(report) == (
      '3 of 4 images converted, 1 of them without objects; 3 of 10 annotations, 1 of them of crowds.\n'
      '  images that cannot be decoded, left out: 1 (b.jpg)\n'
      '  annotations with an empty or unreadable mask, left out: 7 (annotation 0, annotation 1, annotation 2, '
      'annotation 3, annotation 4, ...)')


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


def test_names_are_printed_on_one_line():
  report = conversion_report.make_report(1, 0, [], [Problem(BROKEN_IMAGE, '\udc80' * 5000)])
  text = conversion_report.report_text(report)
  text.encode()
  assert len(text) < 400
