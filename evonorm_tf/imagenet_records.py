"""Streams of records out of TFRecord files: their order, the way back into it, and what happens to unreadable ones.

Model Garden's input reader begins every run at a new random place and ends it at the first broken record. Here the
order of the training records is a function of (seed, epoch), a run goes on at any position, and a record that cannot be
read is left out, counted and reported.
"""

import threading

from absl import logging
import tensorflow as tf

_FILES_AT_ONCE = 16
_RECORDS_OF_A_FILE = 16  # in a row
_CHECKED_RECORDS = 1000
_SKIPS_A_WARNING = 100
_MISSING = b''  # stands for a record that a damaged file has lost

_skipped = 0
_skipped_lock = threading.Lock()


def skipped_records():
  """Returns how many records of all streams this process has skipped because they could not be read."""
  return _skipped


def shuffled_records(files, records, seed, first, buffer_size):
  """An endless dataset of the training records, epoch after epoch.

  In each epoch the files come in a random order, 16 of them at a time, and their records pass through a shuffle buffer.
  The order is a function of (files, seed, epoch, buffer_size); no global seed, thread or earlier call changes it.

  Args:
    files: names of TFRecord files.
    records: how many records the files hold.
    seed: an integer.
    first: the position of the first record. Those of its epoch in front of it are read from the disk, not decoded.
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


def ordered_records(files, records):
  """A dataset of (position, serialized record), every record once in an order that never changes."""
  return _read(tf.constant(files), records).enumerate()


def _read(files, records):
  """Returns a dataset of exactly `records` serialized records; those that the files lack are empty."""
  # What stands behind the damage in a file is lost; TensorFlow cannot find the next record.
  found = tf.data.Dataset.from_tensor_slices(files).interleave(
      lambda file: tf.data.TFRecordDataset(file, buffer_size=2**20).ignore_errors(), _FILES_AT_ONCE,
      _RECORDS_OF_A_FILE, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  missing = tf.data.Dataset.from_tensors(_MISSING).repeat(records)

  def belongs(number, record):
    expected = number < records
    message = f'the TFRecord files hold more than the {records} records that they should'
    with tf.control_dependencies([tf.debugging.Assert(expected | (record == _MISSING), [message])]):
      return tf.identity(expected)

  return found.concatenate(missing).enumerate().take_while(belongs).map(lambda _, record: record)


def examples(records, decode, prepare, skipped):
  """Makes examples of records in parallel; one that cannot be read does not end the dataset.

  Args:
    records: a dataset of (position, serialized record).
    decode: (position, record) -> (image, label); any error of TensorFlow says that the record cannot be read.
    prepare: (position, image) -> image of static shape; what happens to an image that has been read. It meets images of
      1x1 zeros in place of unreadable ones, unless `decode` fixes the size.
    skipped: the `SkippedRecords` that receives the failures.

  Returns:
    tf.data.Dataset of (readable, bool; (image, label), meaningless where not readable), in the order of `records`.
  """
  @tf.autograph.experimental.do_not_convert
  def attempt(number, numbered_record):
    # A dataset of one record, because `ignore_errors` is TensorFlow's only way to catch an error in a graph. It costs a
    # tenth of a millisecond, more in a large function, hence `prepare`. Decoding a photograph takes one or two.
    decoded = tf.data.Dataset.from_tensors(numbered_record).map(lambda *record: (True, decode(*record)))
    blank = tf.nest.map_structure(
        lambda spec: tf.zeros([size or 1 for size in spec.shape], spec.dtype), decoded.element_spec)
    outcome = decoded.ignore_errors().concatenate(tf.data.Dataset.from_tensors(blank)).take(1)
    readable, (image, label) = outcome.get_single_element()
    position, record = numbered_record
    return readable, (prepare(position, image), label), (number, position, tf.where(readable, b'', record))

  def report(readable, example, origin):
    readable = tf.cond(readable, lambda: True, lambda: tf.numpy_function(skipped.add, origin, tf.bool))
    return tf.ensure_shape(readable, []), example

  return records.enumerate().map(attempt, tf.data.AUTOTUNE, deterministic=True).map(report)


def filled_batches(dataset, batch_size):
  """Batches the output of `examples`; other examples of a batch take the places of its unreadable ones.

  So every batch stands where it would without broken records, and a run that goes on at a step meets the batches that
  it would have met. A batch with nothing readable is left out.
  """
  def fill(readable, batch):
    places = tf.range(batch_size)
    others = tf.boolean_mask(places, readable)
    source = tf.where(readable, places, tf.gather(others, places % tf.size(others)))
    return tf.cond(tf.reduce_all(readable), lambda: batch,
                   lambda: tf.nest.map_structure(lambda values: tf.gather(values, source), batch))

  batches = dataset.batch(batch_size, drop_remainder=True, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  return batches.filter(lambda readable, _: tf.reduce_any(readable)).map(fill)


class SkippedRecords:
  """Counts and reports the unreadable records of one stream.

  Args:
    split: what the log calls the stream.
    records: how many records the stream has, or has an epoch.
    decode: the function that fails; it is called again for the cause of a failure that is reported.
  """

  def __init__(self, split, records, decode):
    self._split = split
    self._checked = min(_CHECKED_RECORDS, records)
    self._decode = decode
    self._count = 0

  def add(self, number, position, record):
    """Counts record `number` of the stream; returns False, which is `readable`.

    Raises:
      ValueError: if of the first 1,000 records, or of all so far, more than half were unreadable.
    """
    global _skipped
    with _skipped_lock:
      _skipped += 1
      self._count += 1
      count = self._count
    seen = number + 1
    if count > max(self._checked, seen) / 2:
      raise ValueError(f'{count} of the first {seen} {self._split} records cannot be read. The latest: '
                       f'{self._cause(position, record)}')
    if count % _SKIPS_A_WARNING == 1:
      logging.warning('Skipped %d unreadable %s record(s) so far. The latest: %s', count, self._split,
                      self._cause(position, record))
    return False

  def _cause(self, position, record):
    if record == _MISSING:
      return 'the files hold fewer records than they should; a damaged file ends early.'
    try:
      self._decode(position, tf.constant(record))
    except Exception as e:  # whatever it was, the message of a skip must not be a failure of its own
      return f'{type(e).__name__}: {e}'
    return 'no cause was found when decoding it again.'
