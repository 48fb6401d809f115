"""Tests of the streams of records: order, going on in it, and what becomes of records that cannot be read."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.data import record_streams


def write(path, counts, broken=()):
  """Writes numbers, as text, as the records of `len(counts)` files and returns their names; `broken` ones are 'x'."""
  numbers = iter(range(sum(counts)))
  names = [str(path / f'{file:02}') for file in range(len(counts))]
  for name, count in zip(names, counts):
    with tf.io.TFRecordWriter(name) as writer:
      for _ in range(count):
        number = next(numbers)
        writer.write('x' if number in broken else str(number))
  return names


def decode(_, record):
  number = tf.strings.to_number(record, tf.int32)
  return tf.cast(tf.fill([2, 1, 3], number), tf.uint8), number


def prepare(position, image):
  return tf.cast(tf.broadcast_to(image[:1], [1, 1, 3]), tf.int64) + 0 * position


def read(records):
  return [int(record) for _, record, _ in records.as_numpy_iterator()]


def make(records, spares=(b'100',), split='training'):
  """Returns the list of (whether it is no spare, image, label)."""
  dataset = record_streams.examples(records, list(spares), decode, prepare, split)
  return [(bool(own), image, int(label)) for own, (image, label) in dataset.as_numpy_iterator()]


def shuffled(names, count, seed=0, first=0, buffer_size=5):
  return record_streams.shuffled_records(names, count, seed, first, buffer_size)


def test_every_record_comes_once_an_epoch_in_changing_order(tmp_path):
  names = write(tmp_path, [40] * 5)
  epochs = np.reshape(read(shuffled(names, 200).take(600)), [3, 200])
  np.testing.assert_array_equal(np.sort(epochs), [np.arange(200)] * 3)
  files = epochs // 40
  assert len({tuple(dict.fromkeys(e)) for e in files}) == 3, 'the files come in the same order'
  within = [e[f == 0] for e, f in zip(epochs, files)]
  assert len({tuple(w) for w in within}) == 3 and not any(np.array_equal(w, np.sort(w)) for w in within)


def test_order_depends_on_the_seed_alone_and_goes_on_at_any_position(tmp_path):
  names = write(tmp_path, [7, 6, 7])
  whole = list(shuffled(names, 20, seed=3).take(70).as_numpy_iterator())
  assert [position for position, *_ in whole] == list(range(70))
  tf.random.set_seed(1)
  for first in (0, 1, 19, 20, 47):
    rest = list(shuffled(names, 20, 3, first).take(70 - first).as_numpy_iterator())
    assert rest == whole[first:]
  assert read(shuffled(names, 20, seed=4).take(20)) != [int(record) for _, record, _ in whole[:20]]
  starts = {name.encode(): first for name, first in zip(names, (0, 7, 13))}
  assert all(int(record) == starts[file] + number for _, record, (file, number) in whole)


def test_permanence_of_the_order(tmp_path):
  # Update when the order changes on purpose: runs can then not go on from earlier checkpoints where they were.
  names = write(tmp_path, [7, 6, 7])
  assert read(shuffled(names, 20, seed=5).take(10)) == [14, 13, 17, 15, 19, 7, 9, 11, 8, 12]


def test_ordered_records_are_all_records_in_one_order(tmp_path):
  names = write(tmp_path, [20, 21])
  first, again = (read(record_streams.ordered_records(names, 41)) for _ in range(2))
  assert first == again and sorted(first) == list(range(41))


def test_spares_take_the_places_of_unreadable_records(tmp_path, caplog):
  name, = names = write(tmp_path, [12], broken=(0, 4, 11))
  records = record_streams.ordered_records(names, 12)
  before = record_streams.skipped_records()
  with caplog.at_level(logging.WARNING, 'absl'):
    examples = make(records, (b'100', b'101', b'102'), 'validation')
  assert [own for own, _, _ in examples] == [i not in (0, 4, 11) for i in range(12)]
  assert [label for _, _, label in examples] == [100, 1, 2, 3, 101, 5, 6, 7, 8, 9, 10, 102]
  assert all(image.shape == (1, 1, 3) and image.ravel().tolist() == [label] * 3 for _, image, label in examples)
  assert record_streams.skipped_records() == before + 3
  message, = [record.getMessage() for record in caplog.records]
  assert message.startswith(f"1 of the first 1 validation records cannot be read. The latest: record 0 of '{name}': "
                            'InvalidArgumentError: ')
  assert 'could not correctly convert string: x' in message and '{{' not in message


def test_spares_do_not_depend_on_where_the_records_begin(tmp_path):
  names = write(tmp_path, [7, 6, 7], broken=range(0, 20, 2))
  spares = [b'100', b'101', b'102']
  whole = make(shuffled(names, 20).take(60), spares)
  for first in (1, 22):
    np.testing.assert_array_equal(
        [label for *_, label in make(shuffled(names, 20, first=first).take(60 - first), spares)],
        [label for *_, label in whole[first:]])


def test_readable_records_are_the_first_that_can_be_read(tmp_path):
  records = record_streams.ordered_records(write(tmp_path, [12], broken=(0, 2)), 12)
  assert record_streams.readable_records(records, 5, decode) == [b'1', b'3', b'4']
  assert record_streams.readable_records(records, 1, decode) == [b'1']  # there is none among so many


def test_nothing_that_can_be_read(tmp_path):
  name, = names = write(tmp_path, [3], broken=range(3))
  with pytest.raises(ValueError, match='None of the first 3 records can be read. The latest: record 2 of '
                     f"'{name}': InvalidArgumentError: .*could not correctly convert"):
    record_streams.readable_records(record_streams.ordered_records(names, 5), 2, decode)
  (tmp_path / 'none').write_bytes(b'no TFRecord')
  with pytest.raises(ValueError, match="There is no record that can be read. Found damaged: .*'.*/none'"):
    record_streams.readable_records(record_streams.ordered_records([str(tmp_path / 'none')], 5), 2, decode)


def test_garbage_is_skipped_whatever_its_bytes(tmp_path, caplog):
  """TensorFlow repeats a record that it cannot parse in its message, which Python cannot read if it is not UTF-8."""
  def parse(_, record):
    number = tf.io.parse_single_example(record, {'n': tf.io.FixedLenFeature((), tf.int64)})['n']
    return tf.zeros([2, 1, 3], tf.uint8), number

  good = tf.train.Example(features=tf.train.Features(feature={
      'n': tf.train.Feature(int64_list=tf.train.Int64List(value=[7]))})).SerializeToString()
  name = str(tmp_path / 'records')
  with tf.io.TFRecordWriter(name) as writer:
    for record in (b'\xff' * 300, b'', good, b'garbage'):
      writer.write(record)
  records = record_streams.ordered_records([name], 4)
  assert record_streams.readable_records(records, 4, parse) == [good]
  with caplog.at_level(logging.WARNING, 'absl'):
    examples = list(record_streams.examples(records, [good], parse, prepare, 'training').as_numpy_iterator())
  assert [bool(own) for own, _ in examples] == [False, False, True, False]
  assert f"record 0 of '{name}': it is no tf.train.Example." in caplog.text


def test_a_damaged_file_loses_its_rest_alone(tmp_path, caplog):
  names = write(tmp_path, [10, 10, 10])
  data = (tmp_path / '01').read_bytes()
  assert len(data) == 10 * 18  # 16 of each record are its length and checksums
  (tmp_path / '01').write_bytes(data[:93] + b'damage' + data[99:])
  with caplog.at_level(logging.WARNING, 'absl'):
    examples = make(shuffled(names, 30).take(60))
  for epoch in (examples[:30], examples[30:]):
    assert sorted(label for own, _, label in epoch if own) == [*range(15), *range(20, 30)]
  messages = [record.getMessage() for record in caplog.records]
  assert messages[0] == f"'{names[1]}' is damaged: only its first 5 records, 90 of 180 bytes, can be read."
  assert sum('is damaged' in message for message in messages) == 1  # not in each epoch
  assert any('fewer records than they should. Found damaged: ' in message for message in messages)


@pytest.mark.parametrize('damage, kept', [
    (lambda data: data[:len(data) // 2 + 3], 5), (lambda data: data[:-1], 9), (lambda data: b'', 0),
    (lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], 2), (lambda data: b'garbage' * 9, 0)])
@pytest.mark.parametrize('file', [0, 1])
def test_files_that_are_cut_or_have_a_flipped_bit(tmp_path, caplog, damage, kept, file):
  names = write(tmp_path, [10, 10])
  path = tmp_path / f'{file:02}'
  path.write_bytes(damage(path.read_bytes()))
  records = record_streams.ordered_records(names, 20)
  with caplog.at_level(logging.WARNING, 'absl'):
    found = [label for own, _, label in make(records) if own]
  assert sorted(found) == sorted([*range(10 * file, 10 * file + kept), *range(10 - 10 * file, 20 - 10 * file)])
  assert (f"'{path}' is damaged: only its first {kept} records, " in caplog.text) == bool(path.read_bytes())
  assert len(record_streams.readable_records(records, 20, decode)) == 10 + kept


def test_files_that_are_gone_are_an_error(tmp_path):
  names = write(tmp_path, [4, 4, 4])
  (tmp_path / '02').unlink()
  with pytest.raises(tf.errors.OpError, match=f'{names[2]}; No such file'):
    read(record_streams.ordered_records(names, 12))


@pytest.mark.slow
def test_more_records_than_expected_are_an_error(tmp_path):
  names = write(tmp_path, [7, 6, 7])
  with pytest.raises(tf.errors.InvalidArgumentError, match='hold more than the 19 records'):
    read(shuffled(names, 19).take(40))
  with pytest.raises(tf.errors.InvalidArgumentError, match='hold more than the 19 records'):
    read(record_streams.ordered_records(names, 19))
  for expected in (15, 16, 31, 32):  # in all places of the blocks that are counted at once
    more, = write(tmp_path, [expected + 1])
    with pytest.raises(tf.errors.InvalidArgumentError, match=f'hold more than the {expected} records'):
      read(record_streams.ordered_records([more], expected))
    assert read(record_streams.ordered_records([more], expected + 1)) == list(range(expected + 1))
    assert read(record_streams.ordered_records([more], expected + 3).take(expected + 1)) == list(range(expected + 1))


def test_more_than_half_unreadable_is_an_error_from_a_number_of_records_on(tmp_path, monkeypatch):
  assert record_streams._FIRST_VERDICT == 1000
  monkeypatch.setattr(record_streams, '_FIRST_VERDICT', 100)
  half = record_streams.ordered_records(write(tmp_path, [150], broken=range(50, 100)), 150)
  for _ in range(2):  # counting begins anew
    assert sum(own for own, _, _ in make(half)) == 100
  more = record_streams.ordered_records(write(tmp_path, [150], broken=range(50, 101)), 150)
  with pytest.raises(tf.errors.InvalidArgumentError, match='51 of the first 101 training records cannot be read'):
    make(more)


def test_fewer_records_than_expected_end_in_an_error(tmp_path):
  names = write(tmp_path, [10])
  with pytest.raises(tf.errors.InvalidArgumentError, match='training records cannot be read.*hold fewer records'):
    make(shuffled(names, 2000).take(2000))
