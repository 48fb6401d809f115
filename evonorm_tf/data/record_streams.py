"""Datasets of records from TFRecord files that can start at any position and tolerate unreadable records.

The input reader of the TensorFlow Model Garden starts every run at a new random position and stops at the first broken
record. Here the order of the training records is a function of (seed, epoch), a run can start at any position, and a
record that cannot be read is skipped, counted and reported with the name of its file.
"""

from collections.abc import Callable
from collections.abc import Sequence
import threading
from typing import NoReturn

from absl import logging
import tensorflow as tf

from evonorm_tf.data.image_files import silent_jpeg_library
from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.printable import printable

_FILES_AT_ONCE = 16
_RECORDS_OF_A_FILE = 16  # consecutive records taken from one file
_BLOCK = 16  # records that are counted at once; one by one it would take longer than reading them
_FIRST_VERDICT = 1000  # from this number of records on, a stream with too many unreadable ones is an error
_SKIPS_A_WARNING = 100
_TRIES = 10_000  # records among which a readable one must be
_MISSING = '', -1  # the origin of an empty record that stands for one lost because its file is damaged
FRAME = 16  # the bytes of a record's length and checksums in its file
_LONGEST = 400  # characters of an error's message

_skipped = 0
_damaged: dict[str, None] = {}  # the names of damaged files, in the order in which they were found
_lock = threading.Lock()  # for both


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
    tf.data.Dataset of (position, record, origin): an int64 scalar, counted over all epochs; a serialized record, a
    scalar string; and where it stands, the pair of its file's name and its number in the file, from 0. A record that
    was lost because its file is damaged is the empty string with the origin ('', -1). Iteration raises
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
    return _numbered(shuffled, epoch * records).skip(tf.cast(epoch == first_epoch, tf.int64) * offset)

  return tf.data.Dataset.counter(first_epoch).flat_map(read_epoch)


def ordered_records(files: Sequence[str], records: int) -> tf.data.Dataset:
  """Returns a finite dataset of all records, each once, in an order that never changes.

  Args:
    files: the paths of the TFRecord files.
    records: the number of records that the files contain together.

  Returns:
    tf.data.Dataset of (position, record, origin): an int64 scalar from 0; for the others, and for damaged files and
    files with more records, see `shuffled_records`.
  """
  return _numbered(_read(tf.constant(files), records))


def _numbered(records: tf.data.Dataset, first: int | tf.Tensor = 0) -> tf.data.Dataset:
  return records.enumerate(first).map(lambda position, it: (position, *it))


def _read(files: tf.Tensor, records: int) -> tf.data.Dataset:
  """Returns a dataset of exactly `records` pairs (serialized record, origin); empty ones replace what is missing."""
  found = tf.data.Dataset.from_tensor_slices(files).interleave(
      _read_file, _FILES_AT_ONCE, _RECORDS_OF_A_FILE, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

  def refuse() -> NoReturn:
    raise ArgumentError(f'the TFRecord files hold more than the {records} records that they should')

  def count(total, block):
    record, (file, number) = block
    kept = tf.clip_by_value(records - total, 0, tf.size(number, tf.int64))
    fits = tf.cond(
        tf.reduce_all(number[kept:] < 0), lambda: True, lambda: tf.numpy_function(refuse, [], tf.bool))
    with tf.control_dependencies([fits]):
      return total + kept, (record[:kept], (file[:kept], number[:kept]))

  missing = tf.data.Dataset.from_tensors((b'', (_MISSING[0], tf.constant(_MISSING[1], tf.int64)))).repeat()
  blocks = found.concatenate(missing).batch(_BLOCK).scan(tf.constant(0, tf.int64), count)
  return blocks.take_while(lambda record, _: tf.size(record) > 0).unbatch()


def _read_file(file: tf.Tensor) -> tf.data.Dataset:
  """Returns a dataset of a file's pairs (serialized record, origin), up to a damaged place, which it notes.

  TensorFlow cannot find the next record after a damaged place, so the rest of the file is lost, without a word. But the
  records that have been read then are shorter than the file.
  """
  blocks = tf.data.TFRecordDataset(_openable(file), buffer_size=2**20).ignore_errors().batch(_BLOCK)
  end = tf.data.Dataset.from_tensors(tf.zeros([0], tf.string))

  def count(state, block):
    (number, length), size = state, tf.size(block, tf.int64)
    checked = tf.cond(size == 0, lambda: tf.numpy_function(_check_end, [file, number, length], tf.bool), lambda: True)
    with tf.control_dependencies([checked]):
      origins = tf.fill([size], file), number + tf.range(size)
    length += tf.reduce_sum(FRAME + tf.cast(tf.strings.length(block), tf.int64))
    return (number + size, length), (block, origins)

  counted = blocks.concatenate(end).scan((tf.constant(0, tf.int64), tf.constant(0, tf.int64)), count)
  return counted.unbatch()


def _check_end(file: bytes, records: int, length: int) -> bool:
  """Notes and logs once that a file is longer than the records that could be read of it."""
  name = file.decode()
  size = tf.io.gfile.stat(name).length
  with _lock:
    is_new = length < size and name not in _damaged
    if is_new:
      _damaged[name] = None
  if is_new:
    logging.warning("'%s' is damaged: only its first %d records, %d of %d bytes, can be read.",
                    printable(name), records, length, size)
  return True


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
    records: a dataset of (position, serialized record, origin), such as `shuffled_records` returns.
    spares: readable serialized records, at least one; see `readable_records`.
    decode: a function (position, record) -> (image, label), each a tensor or a structure of tensors. If it raises an
      error of TensorFlow, the record counts as unreadable.
    prepare: a function (position, image) -> image, applied to the decoded image.
    split: the name of the data in log messages, such as 'training'.

  Returns:
    tf.data.Dataset of (own, (image, label)), in the order of `records`; `own` is a bool, False for a spare example.
    Iteration raises tf.errors.InvalidArgumentError if at least 1,000 records have been seen and more than half of them
    could not be read.
  """
  spares = tf.constant(spares)

  @tf.autograph.experimental.do_not_convert
  def attempt(position, record, origin):
    # A dataset of one record, because `ignore_errors` is TensorFlow's only way to catch an error in a graph. It costs
    # 0.1 ms, and more for a large function, which is why `prepare` is separate. Decoding a photograph takes 1 to 2 ms.
    def decoded(candidate, own):
      return tf.data.Dataset.from_tensors((position, candidate)).map(lambda *it: (own, decode(*it)))

    spare = spares[position % len(spares)]
    outcome = decoded(record, True).ignore_errors().concatenate(decoded(spare, False)).take(1)
    own, (image, label) = outcome.get_single_element()
    return own, (prepare(position, image), label), (position, tf.where(own, b'', record), *origin)

  def count(state, outcome):
    own, example, failed = outcome
    seen, skipped = state[0] + 1, state[1] + tf.cast(not own, tf.int64)
    own = tf.cond(own, lambda: True, lambda: tf.numpy_function(report, [seen, skipped, *failed], tf.bool))
    return (seen, skipped), (tf.ensure_shape(own, []), example)

  def report(seen, skipped, position, record, file, number):
    _report(split, seen, skipped, lambda: _cause(decode, position, record, file.decode(), number))
    return False

  # `scan`, because its state is reset for each iteration over the dataset.
  zeros = tf.zeros([2], tf.int64)
  return records.map(attempt, tf.data.AUTOTUNE, deterministic=True).scan((zeros[0], zeros[1]), count)


def _report(split: str, seen: int, skipped: int, find_cause: Callable[[], str]) -> None:
  """Counts and logs an unreadable record, the last of `seen`; raises ArgumentError if there are too many."""
  global _skipped
  with _lock:
    _skipped += 1
  too_many = seen >= _FIRST_VERDICT and skipped > seen / 2
  if too_many or skipped % _SKIPS_A_WARNING == 1:
    message = f'{skipped} of the first {seen} {split} records cannot be read. The latest: {find_cause()}'
    if too_many:
      raise ArgumentError(message)
    logging.warning('%s', message)


def _cause(decode: Callable, position: int, record: bytes, file: str, number: int) -> str:
  """Returns which record it is, and why `decode` fails."""
  if (file, number) == _MISSING:
    return f'the files hold fewer records than they should. {_damaged_files()}'
  try:
    with silent_jpeg_library():
      decode(position, tf.constant(record))
  except Exception as e:  # of any type: reporting a skipped record must not fail
    return _of(file, number, e)
  return _of(file, number, 'no cause was found when decoding it again.')


def _damaged_files() -> str:
  with _lock:
    names = [f"'{printable(name)}'" for name in _damaged]
  if not names:
    return 'No file was found damaged.'
  return f'Found damaged: {", ".join(names[:3])}{", ..." if len(names) > 3 else ""}.'


def _of(file: str, number: int, cause: Exception | str) -> str:
  """Returns a text that names a record and what is wrong with it."""
  if isinstance(cause, UnicodeDecodeError):  # of TensorFlow's message, which repeats the record
    cause = 'it is no tf.train.Example.'
  if isinstance(cause, tf.errors.OpError):
    cause = f'{type(cause).__name__}: {cause.message.partition("}} ")[2] or cause.message}'
  return f"record {number} of '{printable(file)}': {printable(str(cause), _LONGEST)}"


def readable_records(records: tf.data.Dataset, count: int, decode: Callable) -> list[bytes]:
  """Returns those of a dataset's first records that can be decoded, or else the first one that can.

  Args:
    records: a dataset of (position, serialized record, origin), such as `ordered_records` returns.
    count: the number of records to try; if none of them can be decoded, up to 10,000 are tried.
    decode: a function (position, record) -> (image, label) that raises an error of TensorFlow for an unreadable record.

  Returns:
    The readable serialized records, at least one, in order.

  Raises:
    ArgumentError: if none of them can be decoded; the message names the last one that was tried.
  """
  readable, tried, cause = [], 0, 'There are no records.'
  for position, record, (file, number) in records.take(max(count, _TRIES)):
    if number < 0 or (readable and tried >= count):
      break
    tried += 1
    try:
      with silent_jpeg_library():
        decode(position, record)
      readable.append(record.numpy())
    except (tf.errors.OpError, ValueError) as e:  # ValueError: a wrong shape, or a message that is not UTF-8
      cause = f'The latest: {_of(file.numpy().decode(), int(number), e)}'
  if not readable:
    raise ArgumentError(f'None of the first {tried} records can be read. {cause} {_damaged_files()}' if tried else
                        f'There is no record that can be read. {_damaged_files()}')
  return readable
