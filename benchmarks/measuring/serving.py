"""A classifier in each form in which it is served, and the time that each takes; a process serves one contender.

- SavedModel: the signature serving_default of a SavedModel, as the classification trainer exports it.
- predict: the Keras model's `predict_on_batch`, which is `predict` without its loop over batches.
- TFLite: float32, by the interpreter with XNNPACK, as it is by default. A file is of one batch size, because with an
  unknown one XNNPACK leaves what follows the first reshaping to slower kernels.

Every form takes a NumPy array of images and returns one of logits.
"""

from collections.abc import Callable
import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import shutil

from absl import logging
import numpy as np
import tensorflow as tf
import tf_keras

from benchmarks.measuring.served_models import CONTENDERS
from benchmarks.measuring.served_models import make_images
from benchmarks.measuring.served_models import make_model
from benchmarks.measuring.served_models import relative_difference
from benchmarks.measuring.timing import median_seconds
from evonorm_tf.training import saved_models

BATCH_SIZES = 1, 32
FORMS = 'SavedModel', 'predict', 'TFLite'
Run = Callable[[np.ndarray], np.ndarray]


def new_process(threads: int, log: str) -> concurrent.futures.ProcessPoolExecutor:
  """Returns an executor that runs everything in a single new process, with TensorFlow restricted to some threads.

  Args:
    threads: the number of threads, inside an operation and of operations at a time.
    log: the path of a file that receives what the process writes to stderr: TFLite and XLA have no setting for that.
  """
  return concurrent.futures.ProcessPoolExecutor(
      1, multiprocessing.get_context('spawn'), initializer=_start, initargs=(threads, log))


def _start(threads: int, log: str) -> None:
  os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
  logging.set_verbosity(logging.ERROR)
  tf.get_logger().setLevel('ERROR')
  tf.config.threading.set_intra_op_parallelism_threads(threads)
  tf.config.threading.set_inter_op_parallelism_threads(threads)


def export(model: str, contender: str, size: int, folder: str) -> str:
  """Writes a model as a SavedModel, and for TFLite one file for each of `BATCH_SIZES`.

  Args:
    model: the network's name, a key of `MODELS`.
    contender: a key of `CONTENDERS`.
    size: the height and width of the images in pixels.
    folder: the folder that receives them; it does not exist yet.

  Returns:
    Why TFLite refuses the model, '' if it does not.
  """
  network = make_model(model, contender, size)
  _save(network, None, _saved_model(folder))
  for batch_size in BATCH_SIZES:
    of_one_size = _saved_model(folder, batch_size)
    _save(network, batch_size, of_one_size)
    try:
      content = tf.lite.TFLiteConverter.from_saved_model(of_one_size).convert()
      pathlib.Path(_tflite_file(folder, batch_size)).write_bytes(content)
      _tflite(folder, batch_size, 1)(make_images(batch_size, size))
    except Exception as e:  # the converter raises Exception itself
      return str(e).strip().partition('\n')[0] or type(e).__name__
    finally:
      shutil.rmtree(of_one_size)
  return ''


@functools.cache
def load(model: str, contender: str, size: int, folder: str) -> dict[str, Run]:
  """Returns the functions of images that TensorFlow serves, by form; loaded once in a process.

  Args:
    model, contender, size, folder: as for `export`.
  """
  signature = tf.saved_model.load(_saved_model(folder)).signatures['serving_default']
  network = make_model(model, contender, size)
  return {'SavedModel': lambda images: signature(images=tf.constant(images))['logits'].numpy(),
          'predict': network.predict_on_batch}


def warm_up(model: str, contender: str, size: int, folder: str, threads: int, with_tflite: bool) -> dict[str, float]:
  """Loads a model in this process, and calls each form with each batch size, for tracing and compiling.

  Args:
    model, contender, size, folder: as for `export`.
    threads: the threads of TFLite.
    with_tflite: whether there are files for TFLite.

  Returns:
    The largest difference of each form's outputs to those of `predict`, relative to the largest output.

  Raises:
    ArithmeticError: if outputs are not finite.
  """
  differences: dict[str, float] = {}
  for batch_size in BATCH_SIZES:
    images = make_images(batch_size, size)
    runs = load(model, contender, size, folder)
    expected = runs['predict'](images)
    if not np.isfinite(expected).all():
      raise ArithmeticError(f'{model}, {CONTENDERS[contender].title}: outputs are not finite.')
    others = {'SavedModel': runs['SavedModel']}
    if with_tflite:
      others['TFLite'] = _tflite(folder, batch_size, threads)
    for form, run in others.items():
      differences[form] = max(differences.get(form, 0.), relative_difference(run(images), expected))
  return differences


def time_forms(model: str, contender: str, size: int, folder: str, threads: int, with_tflite: bool, repeats: int
               ) -> dict[tuple[str, int], float]:
  """Returns the median time of a call by form and batch size, in seconds.

  The forms do not take turns: threads of one still wait for work, busily, when it has just returned.

  Args:
    model, contender, size, folder, threads, with_tflite: as for `warm_up`, which this process has called.
    repeats: the number of timed calls with one image. A batch is called a tenth as often, at least once.
  """
  seconds = {}
  for form in FORMS if with_tflite else FORMS[:-1]:
    for batch_size in BATCH_SIZES:
      run = _tflite(folder, batch_size, threads) if form == 'TFLite' else load(model, contender, size, folder)[form]
      calls = repeats if batch_size == 1 else max(1, repeats // 10)
      images = make_images(batch_size, size)
      seconds[form, batch_size] = median_seconds({form: run}, (images,), calls, warm_ups=1, quiet=True)[form]
  return seconds


def _save(network: tf_keras.Model, batch_size: int | None, folder: str) -> None:
  module = tf.Module()
  module.weights = network.variables
  infer = functools.partial(network, training=False)  # with the network itself, all of its layers would be saved

  @functools.partial(tf.function, autograph=False,
                     input_signature=[tf.TensorSpec([batch_size, *network.input_shape[1:]], tf.float32, 'images')])
  def serve(images):
    return saved_models.without_gradients({'logits': infer(images)}) if batch_size is None else infer(images)

  saved_models.save(module, folder, {'serving_default': serve})


def _tflite(folder: str, batch_size: int, threads: int) -> Run:
  interpreter = tf.lite.Interpreter(_tflite_file(folder, batch_size), num_threads=threads)
  interpreter.allocate_tensors()
  (images_at,), (logits_at,) = ([details['index'] for details in each] for each in (
      interpreter.get_input_details(), interpreter.get_output_details()))

  def run(images: np.ndarray) -> np.ndarray:
    interpreter.set_tensor(images_at, images)
    interpreter.invoke()
    return interpreter.get_tensor(logits_at)

  return run


def _saved_model(folder: str, batch_size: int | None = None) -> str:
  return os.path.join(folder, 'saved_model' if batch_size is None else f'saved_model_{batch_size}')


def _tflite_file(folder: str, batch_size: int) -> str:
  return os.path.join(folder, f'{batch_size}.tflite')
