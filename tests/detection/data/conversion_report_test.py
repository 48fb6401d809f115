"""The report of a conversion."""

from detection.data import conversion_report
from detection.data.conversion_report import BROKEN_IMAGE
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
