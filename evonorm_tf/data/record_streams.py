"""Datasets of records from TFRecord files that can start at any position and tolerate unreadable records.

The input reader of the TensorFlow Model Garden starts every run at a new random position and stops at the first broken
record. Here the order of the training records is a function of (seed, epoch), a run can start at any position, and a
record that cannot be read is skipped, counted and reported.
"""

from collections.abc import Callable
from collections.abc import Sequence
import threading
from typing import NoReturn

from absl import logging
import tensorflow as tf

from evonorm_tf.errors import ArgumentError

_FILES_AT_ONCE = 16
_RECORDS_OF_A_FILE = 16  # consecutive records taken from one file
_FIRST_VERDICT = 1000  # from this number of records on, a stream with too many unreadable ones is an error
_SKIPS_A_WARNING = 100
_MISSING = b''  # stands for a record that was lost because its file is damaged

_skipped = 0
_skipped_lock = threading.Lock()


def skipped_records() -> int:
  """Returns the number of unreadable records that this process has skipped so far, over all its datasets."""
  return _skipped


def shuffled_records(files: Sequence[str], records: int, seed: int, first: int, buffer_size: int) -> tf.data.Dataset:
  """Returns an infinite dataset of shuffled training records, epoch after epoch.

  Each epoch reads the files in a random order, 16 at a time, and passes their records through a shuffle buffer. The
  order is a function of (files, seed, epoch, buffer_size); it does not depend on the global seed, threads or earlier
  calls.

  Args:
    files: the paths of the TFRecord files.
    records: the number of records that the files contain together, that is, of records per epoch.
    seed: an integer.
    first: the position of the first record to return, counted over all epochs from 0. Earlier records of its epoch are
      read from disk, but not decoded.
    buffer_size: the size of the shuffle buffer in records.

  Returns:
    tf.data.Dataset of (position, record): an int64 scalar, counted over all epochs, and a serialized record, a scalar
    string. A record that was lost because its file is damaged is the empty string. Iteration raises
    tf.errors.InvalidArgumentError if the files contain more than `records` records.
  """
  first_epoch, offset = divmod(first, records)

  def read_epoch(epoch):
    # Sets the global seed of this function's graph only; otherwise `shuffle` would use the user's global seed, too.
    tf.compat.v1.set_random_seed(1)
    epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
    order = tf.random.experimental.stateless_shuffle(tf.constant(files), epoch_seed)
    buffer_seed = tf.random.stateless_uniform([], epoch_seed, None, None, tf.int64)
    shuffled = _read(order, records).shuffle(buffer_size, buffer_seed, reshuffle_each_iteration=False)
    return shuffled.enumerate(epoch * records).skip(tf.cast(epoch == first_epoch, tf.int64) * offset)

  return tf.data.Dataset.counter(first_epoch).flat_map(read_epoch)


def ordered_records(files: Sequence[str], records: int) -> tf.data.Dataset:
  """Returns a finite dataset of all records, each once, in an order that never changes.

  Args:
    files: the paths of the TFRecord files.
    records: the number of records that the files contain together.

  Returns:
    tf.data.Dataset of (position, record): an int64 scalar from 0 and a serialized record, a scalar string; see
    `shuffled_records` for damaged files and for files with more records.
  """
  return _read(tf.constant(files), records).enumerate()


def _read(files: tf.Tensor, records: int) -> tf.data.Dataset:
  """Returns a dataset of exactly `records` serialized records; empty strings take the place of missing ones."""
  # TensorFlow cannot find the next record after a damaged place in a file, so the rest of that file is lost.
  found = tf.data.Dataset.from_tensor_slices(files).interleave(
      lambda file: tf.data.TFRecordDataset(_openable(file), buffer_size=2**20).ignore_errors(), _FILES_AT_ONCE,
      _RECORDS_OF_A_FILE, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  missing = tf.data.Dataset.from_tensors(_MISSING).repeat(records)

  def refuse() -> NoReturn:
    raise ArgumentError(f'the TFRecord files hold more than the {records} records that they should')

  def belongs(number, record):
    expected = number < records
    fits = expected | (record == _MISSING)
    fits = tf.cond(fits, lambda: True, lambda: tf.numpy_function(refuse, [], tf.bool))
    with tf.control_dependencies([fits]):
      return tf.identity(expected)

  return found.concatenate(missing).enumerate().take_while(belongs).map(lambda _, record: record)


def _openable(file: tf.Tensor) -> tf.Tensor:
  """Returns the name of a file after checking that it can be opened; `ignore_errors` would retry that forever."""
  def open_once(name):
    with tf.io.gfile.GFile(name.decode(), 'rb') as opened:
      opened.read(1)
    return name

  return tf.ensure_shape(tf.numpy_function(open_once, [file], tf.string), [])


def examples(records: tf.data.Dataset, spares: Sequence[bytes], decode: Callable, prepare: Callable, split: str
             ) -> tf.data.Dataset:
  """Decodes records in parallel; an unreadable record is counted and replaced by a spare one.

  The choice of the spare record is a function of the position, so that the content of a batch depends neither on the
  step at which a run began nor on the number of replicas.

  Args:
    records: a dataset of (position, serialized record), such as `shuffled_records` returns.
    spares: readable serialized records, at least one; see `readable_records`.
    decode: a function (position, record) -> (image, label). If it raises an error of TensorFlow, the record counts as
      unreadable.
    prepare: a function (position, image) -> image, applied to the decoded image.
    split: the name of the data in log messages, such as 'training'.

  Returns:
    tf.data.Dataset of (own, (image, label)), in the order of `records`; `own` is a bool, False for a spare example.
    Iteration raises tf.errors.InvalidArgumentError if at least 1,000 records have been seen and more than half of them
    could not be read.
  """
  spares = tf.constant(spares)

  @tf.autograph.experimental.do_not_convert
  def attempt(position, record):
    # A dataset of one record, because `ignore_errors` is TensorFlow's only way to catch an error in a graph. It costs
    # 0.1 ms, and more for a large function, which is why `prepare` is separate. Decoding a photograph takes 1 to 2 ms.
    def decoded(candidate, own):
      return tf.data.Dataset.from_tensors((position, candidate)).map(lambda *it: (own, decode(*it)))

    spare = spares[position % len(spares)]
    outcome = decoded(record, True).ignore_errors().concatenate(decoded(spare, False)).take(1)
    own, (image, label) = outcome.get_single_element()
    return own, (prepare(position, image), label), (position, tf.where(own, b'', record))

  def count(state, outcome):
    own, example, origin = outcome
    seen, skipped = state[0] + 1, state[1] + tf.cast(not own, tf.int64)
    own = tf.cond(own, lambda: True, lambda: tf.numpy_function(report, [seen, skipped, *origin], tf.bool))
    return (seen, skipped), (tf.ensure_shape(own, []), example)

  def report(seen, skipped, position, record):
    _report(split, seen, skipped, decode, position, record)
    return False

  # `scan`, because its state is reset for each iteration over the dataset.
  zeros = tf.zeros([2], tf.int64)
  return records.map(attempt, tf.data.AUTOTUNE, deterministic=True).scan((zeros[0], zeros[1]), count)


def _report(split: str, seen: int, skipped: int, decode: Callable, position: int, record: bytes) -> None:
  """Counts and logs an unreadable record, the last of `seen`; raises ArgumentError if there are too many."""
  global _skipped
  with _skipped_lock:
    _skipped += 1
  too_many = seen >= _FIRST_VERDICT and skipped > seen / 2
  if too_many or skipped % _SKIPS_A_WARNING == 1:
    message = (f'{skipped} of the first {seen} {split} records cannot be read. The latest: '
               f'{_cause(decode, position, record)}')
    if too_many:
      raise ArgumentError(message)
    logging.warning('%s', message)


def _cause(decode: Callable, position: int, record: bytes) -> str:
  """Returns why `decode` fails."""
  if record == _MISSING:
    return 'the files hold fewer records than they should; a damaged file ends early.'
  try:
    decode(position, tf.constant(record))
  except Exception as e:  # of any type: reporting a skipped record must not fail
    return f'{type(e).__name__}: {e}'
  return 'no cause was found when decoding it again.'


def readable_records(records: tf.data.Dataset, count: int, decode: Callable) -> list[bytes]:
  """Returns those of a dataset's first records that can be decoded.

  Args:
    records: a dataset of (position, serialized record), such as `ordered_records` returns.
    count: the number of records to try.
    decode: a function (position, record) -> (image, label) that raises an error of TensorFlow for an unreadable record.

  Returns:
    The readable serialized records, at least one, in order.

  Raises:
    ArgumentError: if none of them can be decoded.
  """
  readable, cause = [], 'there are no records.'
  for position, record in records.take(count):
    try:
      decode(position, record)
      readable.append(record.numpy())
    except tf.errors.OpError as e:
      cause = f'{type(e).__name__}: {e}'
  if not readable:
    raise ArgumentError(f'None of the first {count} records can be read. The latest: {cause}')
  return readable
