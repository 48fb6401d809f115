"""What a person sees of a training: a line with the time left, and in TensorBoard throughput, images and histograms."""

import time

from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.progress import TimeRemainingColumn
import tensorflow as tf

IMAGES = 16  # augmented images in TensorBoard


class TrainingLog:
  """An Orbit action behind each training loop; a context manager around the training.

  On a terminal a bar stays in its place; elsewhere a line is printed from time to time.

  Args:
    steps: at which training ends.
    batch_size: the global batch, in images.
    model: the model in training.
    global_step: the variable of the training step.
    writer: a tf.summary writer.
    histograms: whether to write histograms of γ and v1 of each norm-activation layer.
    console: a rich Console.
    seconds_between_lines: where the console is no terminal.
  """

  def __init__(
      self, steps, batch_size, model, global_step, writer, histograms, console, seconds_between_lines=10.):
    self._steps = steps
    self._batch_size = batch_size
    self._model = model
    self._global_step = global_step
    self._writer = writer
    self._histograms = histograms
    self._console = console
    self._seconds_between_lines = seconds_between_lines
    self._progress = Progress(
        TextColumn('{task.description}'), BarColumn(), TextColumn('{task.completed}/{task.total} steps'),
        TextColumn('{task.fields[figures]}'), TimeRemainingColumn(), console=console, disable=not console.is_terminal)

  def __enter__(self):
    self._first_step = self._last_step = int(self._global_step)  # as restored
    self._task = self._progress.add_task('training', total=self._steps, completed=self._first_step, figures='')
    self._started = self._last_time = self._last_line = time.monotonic()
    self._progress.start()
    return self

  def __exit__(self, *exception):
    self._progress.stop()

  def __call__(self, output) -> None:
    """Adds `images_per_second` to the output, which Orbit then writes to TensorBoard, and shows the progress."""
    now, step = time.monotonic(), int(self._global_step)
    rate = (step - self._last_step) * self._batch_size / (now - self._last_time)
    self._last_time, self._last_step = now, step
    output['images_per_second'] = rate
    figures = f'loss {float(output["training_loss"]):.3f}  accuracy {float(output["accuracy"]):.1%}  {rate:,.0f} images/s'
    self._progress.update(self._task, completed=step, figures=figures)
    if not self._console.is_terminal and (
        now - self._last_line >= self._seconds_between_lines or step >= self._steps):
      self._last_line = now
      self._console.print(f'step {step}/{self._steps}  {figures}  {_duration(self._seconds_left(now, step))} left',
                          highlight=False)
    if self._histograms:
      with self._writer.as_default():
        write_histograms(self._model, step)

  def evaluated(self, output) -> None:
    """An Orbit action behind each evaluation."""
    self._console.print(f'step {int(self._global_step)}: validation loss {float(output["validation_loss"]):.3f}, '
                        f'accuracy {float(output["accuracy"]):.1%}', highlight=False)
    self._last_time = time.monotonic()  # evaluation is no training time

  def _seconds_left(self, now: float, step: int) -> float:
    return (now - self._started) / max(1, step - self._first_step) * (self._steps - step)


def _duration(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}'


def write_histograms(model, step: int) -> None:
  """Writes γ and v1 of every layer that has them to the default summary writer."""
  for variable in model.trainable_variables:
    name = variable.name.removesuffix(':0')
    if name.rpartition('/')[-1] in ('gamma', 'v1'):
      tf.summary.histogram(name, variable, step)


def write_images(batches: tf.data.Dataset) -> None:
  """Writes the first images of a dataset of (images, labels) as the network reads them, each scaled to [0, 1]."""
  images = next(iter(batches))[0][:IMAGES]
  low, high = (f(images, [1, 2, 3], keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
  tf.summary.image('augmented', (images - low) / tf.maximum(high - low, 1e-6), step=0, max_outputs=IMAGES)
