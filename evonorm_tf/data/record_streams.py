"""Streams of records from TFRecord files, which can be resumed at any position and skip unreadable records.

Model Garden's input reader begins every run at a new random place and ends it at the first broken record. Here the
order of the training records is a function of (seed, epoch), a run can begin at any position, and a record that cannot
be read is skipped, counted and reported.
"""

from collections.abc import Callable
from collections.abc import Sequence
import threading
from typing import NoReturn

from absl import logging
import tensorflow as tf

from evonorm_tf.errors import ArgumentError

_FILES_AT_ONCE = 16
_RECORDS_OF_A_FILE = 16  # in a row
_FIRST_VERDICT = 1000  # records
_SKIPS_A_WARNING = 100
_MISSING = b''  # stands for a record that a damaged file has lost

_skipped = 0
_skipped_lock = threading.Lock()


def skipped_records() -> int:
  """Returns how many records of all streams this process has skipped because they could not be read."""
  return _skipped


def shuffled_records(files: Sequence[str], records: int, seed: int, first: int, buffer_size: int) -> tf.data.Dataset:
  """Returns an endless dataset of the training records, epoch after epoch.

  In each epoch the files come in a random order, 16 of them at a time, and their records pass through a shuffle buffer.
  The order is a function of (files, seed, epoch, buffer_size); no global seed, thread or earlier call changes it.

  Args:
    files: names of TFRecord files.
    records: how many records the files hold.
    seed: an integer.
    first: the position of the first record. Earlier records of its epoch are read from the disk, but not decoded.
    buffer_size: serialized records in the shuffle buffer.

  Returns:
    tf.data.Dataset of (position, counted over all epochs, int64; serialized record). A record that was lost from a
    damaged file is empty.
  """
  first_epoch, offset = divmod(first, records)

  def read_epoch(epoch):
    # The global seed of this function's graph alone, so that `shuffle` does not mix the user's in.
    tf.compat.v1.set_random_seed(1)
    epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
    order = tf.random.experimental.stateless_shuffle(tf.constant(files), epoch_seed)
    buffer_seed = tf.random.stateless_uniform([], epoch_seed, None, None, tf.int64)
    shuffled = _read(order, records).shuffle(buffer_size, buffer_seed, reshuffle_each_iteration=False)
    return shuffled.enumerate(epoch * records).skip(tf.cast(epoch == first_epoch, tf.int64) * offset)

  return tf.data.Dataset.counter(first_epoch).flat_map(read_epoch)


def ordered_records(files: Sequence[str], records: int) -> tf.data.Dataset:
  """Returns a dataset of (position, serialized record), each record once in an order that never changes.

  Args:
    files: names of TFRecord files.
    records: how many records the files hold.
  """
  return _read(tf.constant(files), records).enumerate()


def _read(files: tf.Tensor, records: int) -> tf.data.Dataset:
  """Returns a dataset of exactly `records` serialized records; those that the files lack are empty."""
  # Records after a damaged place in a file are lost; TensorFlow cannot find the next one.
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
  """Returns the name of a file, which can be opened: `ignore_errors` would try to open another one for ever."""
  def open_once(name):
    with tf.io.gfile.GFile(name.decode(), 'rb') as opened:
      opened.read(1)
    return name

  return tf.ensure_shape(tf.numpy_function(open_once, [file], tf.string), [])


def examples(records: tf.data.Dataset, spares: Sequence[bytes], decode: Callable, prepare: Callable, split: str
             ) -> tf.data.Dataset:
  """Makes examples of records in parallel; an unreadable record is counted, and a spare one takes its place.

  The choice of the spare record is a function of the position, so that the content of a batch depends neither on the
  step at which a run began nor on the number of replicas.

  Args:
    records: a dataset of (position, serialized record).
    spares: serialized records that can be read, strings `[N]`; see `readable_records`.
    decode: (position, record) -> (image, label); any error of TensorFlow means that the record cannot be read.
    prepare: (position, image) -> image; is applied to images that could be read.
    split: the name of the stream in the log.

  Returns:
    tf.data.Dataset of (own, bool: False for a spare example; (image, label)), in the order of `records`. Iterating
    raises tf.errors.InvalidArgumentError where, after 1,000 records, more than half could not be read.
  """
  spares = tf.constant(spares)

  @tf.autograph.experimental.do_not_convert
  def attempt(position, record):
    # Datasets of one record, because `ignore_errors` is TensorFlow's only way to catch an error in a graph. It costs a
    # tenth of a millisecond, more in a large function, hence `prepare`. Decoding a photograph takes one or two.
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

  # `scan`, because its state begins anew with each iteration.
  zeros = tf.zeros([2], tf.int64)
  return records.map(attempt, tf.data.AUTOTUNE, deterministic=True).scan((zeros[0], zeros[1]), count)


def _report(split: str, seen: int, skipped: int, decode: Callable, position: int, record: bytes) -> None:
  """Counts an unreadable record, the last of `seen`; raises ArgumentError if there are too many."""
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
  except Exception as e:  # whatever it was, the message about a skipped record must not be a failure of its own
    return f'{type(e).__name__}: {e}'
  return 'no cause was found when decoding it again.'


def readable_records(records: tf.data.Dataset, count: int, decode: Callable) -> list[bytes]:
  """Returns the serialized records that can be read among the first ones of a dataset.

  Args:
    records: a dataset of (position, serialized record).
    count: how many records are tried.
    decode: as `examples` takes it.

  Raises:
    ArgumentError: if none can be read.
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
