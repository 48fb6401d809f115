"""What the log shows, by a clock of the test's own, and what TensorBoard reads of histograms and images."""

import io
import re
import types

import numpy as np
import pytest
from rich.console import Console
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf
import tf_keras

from evonorm_tf.layers.keras2 import EvoNormB0
from evonorm_tf.training import log as training_log
from evonorm_tf.training.log import TrainingLog

OUTPUT = {'training_loss': tf.constant(1.2344), 'accuracy': tf.constant(.4567), 'images_per_second': 1234.5}
RESULTS = {'validation_loss': tf.constant(2.3456), 'accuracy': tf.constant(.125)}
FORMATS = ({'training_loss': 'loss {:.3f}', 'accuracy': 'accuracy {:.1%}'},
           {'validation_loss': 'validation loss {:.3f}', 'accuracy': 'accuracy {:.1%}'})


@pytest.fixture
def scene():
  """Steps, time and console of a training that begins at step 20 of 100; `go` ends a loop at a step and a time."""
  scene = types.SimpleNamespace(time=1000., step=tf.Variable(20, dtype=tf.int64), file=io.StringIO())

  def make(steps=100, writer=None, model=None, **console):
    scene.log = TrainingLog(steps, model, scene.step, writer, Console(file=scene.file, width=80, **console),
                            *FORMATS, clock=lambda: scene.time)
    return scene.log

  def go(step, seconds):
    scene.step.assign(step)
    scene.time = 1000. + seconds
    scene.log(OUTPUT)

  scene.make, scene.go = make, go
  return scene


def test_a_line_tells_figures_and_time_left_without_tracing_and_with_evaluations(scene):
  with scene.make():
    scene.go(30, 50)  # tracing: all that is known is 5 seconds a step
    scene.go(40, 60)  # 1 second a step since then
    scene.go(50, 90)  # an evaluation in between: 2 seconds a step
    scene.log.evaluated(RESULTS)
    scene.go(100, 190)
  figures = 'loss 1.234  accuracy 45.7%  1,234 images/s'
  assert scene.file.getvalue() == (
      f'step 30/100  {figures}  0:05:50 left\nstep 40/100  {figures}  0:01:00 left\n'
      f'step 50/100  {figures}  0:01:40 left\nstep 50: validation loss 2.346, accuracy 12.5%\n'
      f'step 100/100  {figures}  0:00:00 left\n')


def test_few_images_a_second_have_a_decimal(scene):
  with scene.make() as log:
    for images, text in ((3.14, '3.1 images/s'), (10.4, '10 images/s')):
      scene.step.assign_add(10)
      scene.time += 100.
      log({**OUTPUT, 'images_per_second': images})
      assert scene.file.getvalue().splitlines()[-1].split('  ')[3] == text


def test_a_file_gets_a_line_every_ten_seconds_and_the_last_one(scene):
  with scene.make():
    for step in range(21, 101):
      scene.go(step, .2 * (step - 20))
  assert re.findall(r'step (\d+)/', scene.file.getvalue()) == ['70', '100']


def test_long_lines_are_not_broken(scene):
  with scene.make(steps=10_000_000):
    scene.go(21, 100)
    scene.go(1_234_567, 123_456)
  last, = (line for line in scene.file.getvalue().splitlines() if line.startswith('step 1234567/'))
  assert len(last) > 80 and last.endswith('243:17:23 left')


def test_a_terminal_gets_a_bar_and_no_lines(scene):
  with scene.make(force_terminal=True):
    scene.go(60, 100)
    scene.log.evaluated(RESULTS)
    scene.go(100, 200)
  plain = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', scene.file.getvalue())
  assert '100/100 steps' in plain and 'step 60: validation loss 2.346, accuracy 12.5%' in plain
  assert 'step 60/100' not in plain and 'step 100/100' not in plain


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(scene):
  with scene.make(force_terminal=True, force_interactive=False):
    scene.go(60, 100)
  assert scene.file.getvalue().startswith('step 60/100  loss 1.234') and scene.file.getvalue().count('\n') == 1


def read(folder):
  """TensorBoard's own reader, of all events."""
  return event_accumulator.EventAccumulator(str(folder), {'tensors': 0}).Reload()


def test_histograms_are_those_of_gamma_and_v1_of_every_layer(scene, tmp_path):
  model = tf_keras.Sequential([
      tf_keras.layers.Conv2D(4, 1, name='gamma_ray'), EvoNormB0(name='first'),
      tf_keras.layers.BatchNormalization(name='second')])
  model(tf.zeros([2, 4, 4, 3]))
  gamma, v1 = model.get_layer('first').gamma, model.get_layer('first').v1
  gamma.assign([-2., 0., 1., 5.])
  with scene.make(model=model, writer=tf.summary.create_file_writer(str(tmp_path))) as log:
    scene.go(30, 10)
    v1.assign([3., 3., 4., 3.])
    scene.go(40, 20)
  log._writer.close()
  events = read(tmp_path)
  assert sorted(events.Tags()['tensors']) == ['first/gamma', 'first/v1', 'second/gamma']
  for tag, low, high in (('first/gamma', -2., 5.), ('first/v1', 3., 4.)):
    last = events.Tensors(tag)[-1]
    buckets = tf.make_ndarray(last.tensor_proto)  # [n, 3]: left end, right end, count
    assert last.step == 40 and buckets[:, 2].sum() == 4.
    filled = buckets[buckets[:, 2] > 0]
    np.testing.assert_allclose([filled[0, 0], filled[-1, 1]], [low, high], rtol=1e-6)
  assert [event.step for event in events.Tensors('second/gamma')] == [30, 40]


def test_images_are_scaled_each_to_black_and_white(tmp_path):
  images = np.random.default_rng(0).normal(size=[20, 6, 5, 3]).astype(np.float32) * np.arange(20)[:, None, None, None]
  batches = tf.data.Dataset.from_tensors((images + 3., np.arange(20)))
  with tf.summary.create_file_writer(str(tmp_path)).as_default() as writer:
    training_log.write_images(batches)
    writer.close()
  event, = read(tmp_path).Tensors('augmented')
  files = tf.make_ndarray(event.tensor_proto)[2:]  # behind width and height
  written = np.stack([tf.io.decode_png(file) for file in files])
  assert written.shape == (training_log.IMAGES, 6, 5, 3)
  assert not written[0].any()  # an image of one colour
  low, high = (f(images, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
  expected = 255 * ((images - low) / np.maximum(high - low, 1e-9))[1:training_log.IMAGES]
  np.testing.assert_allclose(written[1:], expected, atol=1.)
