"""The progress display of a conversion to TFRecords, and its report: counts, and examples of problems in the data."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import datetime
import math
import time
from typing import Any
from typing import NamedTuple

from rich.console import Console
import rich.progress
from rich.text import Text

from evonorm_tf.output.printable import printable

MALFORMED_IMAGE, MALFORMED_ANNOTATION = 'malformed_image', 'malformed_annotation'
MISSING_IMAGE, BROKEN_IMAGE, WRONG_SIZE = 'missing_image', 'broken_image', 'wrong_size'
UNKNOWN_IMAGE, UNKNOWN_CATEGORY = 'unknown_image', 'unknown_category'
EMPTY_BOX, OUTSIDE_BOX, CLIPPED_BOX, EMPTY_MASK = 'empty_box', 'outside_box', 'clipped_box', 'empty_mask'
DERIVED_BOX = 'derived_box'
# Images with an orientation in their EXIF data: turned or left as stored; for only so they have the size that the
# annotations state, or by the user's choice, where both have.
TURNED_BY_SIZE, STORED_BY_SIZE = 'turned_by_size', 'stored_by_size'
TURNED_BY_CHOICE, STORED_BY_CHOICE = 'turned_by_choice', 'stored_by_choice'
PROBLEMS = {
    MALFORMED_IMAGE: 'images with a missing or ill-typed field, left out',
    MALFORMED_ANNOTATION: 'annotations with a missing or ill-typed field, left out',
    MISSING_IMAGE: 'images missing, left out',
    BROKEN_IMAGE: 'images that cannot be decoded, left out',
    WRONG_SIZE: 'images of another size than the annotations say, left out',
    TURNED_BY_SIZE: 'images turned as their EXIF orientation says, for only so they have the size in the annotations',
    STORED_BY_SIZE: 'images whose EXIF orientation is ignored, for only so they have the size in the annotations',
    TURNED_BY_CHOICE: 'images turned as their EXIF orientation says, though stored they have that size (`orientation`)',
    STORED_BY_CHOICE: 'images whose EXIF orientation is ignored, though turned they have that size (`orientation`)',
    UNKNOWN_IMAGE: 'annotations of images that are not listed, left out',
    UNKNOWN_CATEGORY: 'annotations of unknown categories, left out',
    EMPTY_BOX: 'annotations with an empty or malformed box, left out',
    OUTSIDE_BOX: 'annotations with a box outside the image, left out',
    CLIPPED_BOX: 'annotations with a box partly outside the image, clipped',
    DERIVED_BOX: 'annotations without a box, which becomes that of the mask',
    EMPTY_MASK: 'annotations with an empty or unreadable mask, left out'}
_NAMES = 5  # the number of examples that a report gives for each kind of problem


class Problem(NamedTuple):
  """A problem that a conversion found in an image or an annotation, or something that the user should know of it.

  Attributes:
    kind: a key of `PROBLEMS`, such as 'missing_image'.
    name: the image's file name, or a text that names the annotation and its image, or that says what is wrong with an
      entry of the annotation file.
  """
  kind: str
  name: str


def make_report(images: int, annotations: int, converted: Sequence[Sequence[dict[str, Any]]],
                problems: Iterable[Problem]) -> dict[str, Any]:
  """Returns the report of a conversion.

  Args:
    images: the number of images in the annotation file.
    annotations: the number of annotations in the annotation file.
    converted: for each converted image, the list of its converted annotations.
    problems: all problems that were found.

  Returns:
    JSON data: the counts `images`, `images_converted`, `images_without_objects` (converted ones), `annotations`,
    `annotations_converted` and `annotations_of_crowds` (converted ones); and `problems`, which gives for each kind
    that occurred its `count` and the names of the first five, `first`.
  """
  names = {kind: [] for kind in PROBLEMS}
  for problem in problems:
    names[problem.kind].append(problem.name)
  flat = [annotation for of_image in converted for annotation in of_image]
  return {
      'images': images, 'images_converted': len(converted), 'images_without_objects': sum(not c for c in converted),
      'annotations': annotations, 'annotations_converted': len(flat),
      'annotations_of_crowds': sum(annotation['iscrowd'] for annotation in flat),
      'problems': {kind: {'count': len(found), 'first': found[:_NAMES]} for kind, found in names.items() if found}}


def report_text(report: dict[str, Any]) -> str:
  """Returns a report as text: a line with the counts, then a line for each kind of problem that occurred.

  Args:
    report: the result of `make_report`.
  """
  lines = ['{images_converted} of {images} images converted, {images_without_objects} of them without objects; '
           '{annotations_converted} of {annotations} annotations, {annotations_of_crowds} of them of crowds.'
           .format(**report)]
  for kind, found in report['problems'].items():
    more = ', ...' if found['count'] > len(found['first']) else ''
    lines.append(f"  {PROBLEMS[kind]}: {found['count']} ({', '.join(map(printable, found['first']))}{more})")
  return '\n'.join(lines)


class ConversionProgress:
  """A context manager that shows the number of finished images and the estimated time left.

  On a terminal it shows a progress bar; otherwise it prints a line from time to time.

  Args:
    total: the number of images.
    earlier: the number of images that an earlier run has finished already (default 0).
    console: the rich Console for the output; None (default) for standard output.
    seconds_between_lines: the least time in seconds between two printed lines (default 30).
    clock: a function that returns the time in seconds (default `time.monotonic`).
  """

  def __init__(self, total: int, earlier: int = 0, console: Console | None = None, seconds_between_lines: float = 30,
               clock: Callable[[], float] = time.monotonic):
    self._total, self._earlier, self._done = total, earlier, earlier
    self._console = console or Console()
    self._clock, self._started_at, self._printed_at = clock, clock(), -math.inf
    self._seconds_between_lines = seconds_between_lines
    self._bar = rich.progress.Progress(
        rich.progress.TextColumn('images', markup=False), rich.progress.BarColumn(bar_width=None),
        rich.progress.MofNCompleteColumn(), rich.progress.TextColumn('{task.fields[left]}', markup=False),
        console=self._console, disable=not self._console.is_terminal, expand=True)
    self._task = self._bar.add_task('', total=total, completed=earlier, left=self._time_left())

  def __enter__(self) -> 'ConversionProgress':
    self._bar.start()
    return self

  def __exit__(self, *_) -> None:
    self._bar.stop()

  def advance(self, images: int = 1) -> None:
    """Counts further images as finished and updates the display.

    Args:
      images: the number of these images (default 1).
    """
    self._done += images
    self._bar.update(self._task, completed=self._done, left=self._time_left())
    is_due = self._clock() - self._printed_at >= self._seconds_between_lines or self._done == self._total
    if self._bar.disable and is_due:
      self._console.print(Text(f'images {self._done}/{self._total}, {self._time_left()}'), soft_wrap=True)
      self._console.file.flush()
      self._printed_at = self._clock()

  def _time_left(self) -> str:
    done = self._done - self._earlier
    if not done:
      return 'time left unknown'
    seconds = (self._clock() - self._started_at) / done * (self._total - self._done)
    return f'time left {datetime.timedelta(seconds=int(seconds))}'
