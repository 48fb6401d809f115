"""Console progress and TensorBoard summaries for a training run."""

from collections.abc import Callable
from collections.abc import Mapping
import time
import types
from typing import Any
from typing import Self

from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress
from rich.progress import TextColumn
from rich.text import Text
import tensorflow as tf
import tf_keras

IMAGES = 16  # the number of augmented training images to show in TensorBoard


class TrainingLog:
  """The progress display of a training run, with histograms for TensorBoard.

  The object is a context manager that surrounds training. It is also an action of Orbit, Model Garden's loop library:
  Orbit calls it after each training loop, and its method `evaluated` after each evaluation. An interactive terminal
  shows a progress bar; otherwise a line is printed from time to time.

  Args:
    steps: the step at which training ends.
    model: the model that is being trained.
    global_step: the variable that counts training steps.
    writer: a tf.summary writer for histograms of each norm-activation layer's γ and v1; None for no histograms.
    console: the rich Console on which the progress is shown.
    training: the results of a training loop to show, by name, each with a format string such as 'loss {:.3f}'.
    evaluation: the same for the results of an evaluation.
    seconds_between_lines: the least time between two printed lines if there is no progress bar; default 10.
    clock: a function that returns a time in seconds; replaced in tests.
  """

  def __init__(self, steps: int, model: tf_keras.Model, global_step: tf.Variable,
               writer: tf.summary.SummaryWriter | None, console: Console, training: Mapping[str, str],
               evaluation: Mapping[str, str], seconds_between_lines: float = 10.,
               clock: Callable[[], float] = time.monotonic):
    self._steps = steps
    self._model = model
    self._global_step = global_step
    self._writer = writer
    self._console = console
    self._training = training
    self._evaluation = evaluation
    self._seconds_between_lines = seconds_between_lines
    self._clock = clock
    self._progress = Progress(
        TextColumn('training', markup=False), BarColumn(),
        TextColumn('{task.completed}/{task.total} steps', markup=False),
        TextColumn('{task.fields[figures]}', markup=False), console=console, disable=not console.is_interactive)

  def __enter__(self) -> Self:
    step = int(self._global_step.numpy())  # not 0 if a checkpoint has been restored
    self._task = self._progress.add_task('training', total=self._steps, completed=step, figures='')
    self._begin = step, self._clock()
    self._has_traced = False
    self._last_line = self._clock()
    self._progress.start()
    return self

  def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
               traceback: types.TracebackType | None) -> None:
    self._progress.stop()

  def __call__(self, output: Mapping[str, Any]) -> None:
    """Shows the progress and writes the histograms after a training loop.

    Args:
      output: the results of the training loop by name: `images_per_second` and those named in `training`.
    """
    step, now = int(self._global_step.numpy()), self._clock()
    # At the average speed since the end of the first loop, which includes evaluations but not tracing.
    seconds_left = (now - self._begin[1]) / (step - self._begin[0]) * (self._steps - step)
    if not self._has_traced:
      self._begin, self._has_traced = (step, now), True
    figures = '  '.join([*_figures(output, self._training), f'{_rate(output["images_per_second"])} images/s',
                         f'{_duration(seconds_left)} left'])
    self._progress.update(self._task, completed=step, figures=figures)
    if not self._console.is_interactive and (
        now - self._last_line >= self._seconds_between_lines or step >= self._steps):
      self._last_line = now
      self._print(f'step {step}/{self._steps}  {figures}')
    if self._writer:
      with self._writer.as_default():
        write_histograms(self._model, step)

  def evaluated(self, output: Mapping[str, Any]) -> None:
    """Shows the results of an evaluation.

    Args:
      output: the results by name, with those named in `evaluation` among them.
    """
    self._print(f'step {int(self._global_step.numpy())}: {", ".join(_figures(output, self._evaluation))}')

  def _print(self, line: str) -> None:
    self._console.print(Text(line), soft_wrap=True)  # no line breaks, since the console may be a file


def _figures(output: Mapping, formats: Mapping[str, str]) -> list[str]:
  return [text.format(float(output[name])) for name, text in formats.items()]


def _rate(images: float) -> str:
  return f'{images:.1f}' if images < 10 else f'{images:,.0f}'  # a detector on a CPU takes a few images per second


def _duration(seconds: float) -> str:
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02}:{seconds:02}'


def write_histograms(model: tf_keras.Model, step: int) -> None:
  """Writes histograms of every trainable γ and v1 of a model to the default summary writer.

  Args:
    model: the model.
    step: the training step under which TensorBoard shows them.
  """
  for variable in model.trainable_variables:
    name = variable.name.removesuffix(':0')
    if name.rpartition('/')[-1] in ('gamma', 'v1'):
      tf.summary.histogram(name, variable, step)


def write_images(batches: tf.data.Dataset) -> None:
  """Writes the first 16 training images to the default summary writer, under the tag 'augmented' and step 0.

  Args:
    batches: a dataset of (images, labels); the images are `[batch, height, width, channels]`, as the network reads
      them. Only the first batch is read, and each image is scaled to [0, 1].
  """
  images = next(iter(batches))[0][:IMAGES]
  low, high = (f(images, [1, 2, 3], keepdims=True) for f in (tf.reduce_min, tf.reduce_max))
  tf.summary.image('augmented', (images - low) / tf.maximum(high - low, 1e-6), step=0, max_outputs=IMAGES)

