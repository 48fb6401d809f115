"""Tests of the streams of records: order, going on in it, and what becomes of records that cannot be read."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf import imagenet_records


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
  return [int(record) for _, record in records.as_numpy_iterator()]


def make(records, count, split='training'):
  skipped = imagenet_records.SkippedRecords(split, count, decode)
  return imagenet_records.examples(records, decode, prepare, skipped)


def shuffled(names, count, seed=0, first=0, buffer_size=5):
  return imagenet_records.shuffled_records(names, count, seed, first, buffer_size)


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
  whole = [(int(position), record) for position, record in shuffled(names, 20, seed=3).take(70).as_numpy_iterator()]
  assert [position for position, _ in whole] == list(range(70))
  tf.random.set_seed(1)
  for first in (0, 1, 19, 20, 47):
    rest = list(shuffled(names, 20, 3, first).take(70 - first).as_numpy_iterator())
    assert rest == whole[first:]
  assert read(shuffled(names, 20, seed=4).take(20)) != [int(record) for _, record in whole[:20]]


def test_permanence_of_the_order(tmp_path):
  # Update when the order changes on purpose: runs can then not go on from earlier checkpoints where they were.
  names = write(tmp_path, [7, 6, 7])
  assert read(shuffled(names, 20, seed=5).take(10)) == []


def test_ordered_records_are_all_records_in_one_order(tmp_path):
  names = write(tmp_path, [20, 21])
  first, again = (read(imagenet_records.ordered_records(names, 41)) for _ in range(2))
  assert first == again and sorted(first) == list(range(41))


def test_unreadable_records_are_marked_counted_and_logged(tmp_path, caplog):
  records = imagenet_records.ordered_records(write(tmp_path, [12], broken=(0, 4, 11)), 12)
  before = imagenet_records.skipped_records()
  with caplog.at_level(logging.WARNING, 'absl'):
    examples = list(make(records, 12, 'validation').as_numpy_iterator())
  readable = [bool(r) for r, _ in examples]
  assert [i for i, r in enumerate(readable) if not r] == [0, 4, 11]
  assert [int(label) for r, (_, label) in examples if r] == [i for i in range(12) if i not in (0, 4, 11)]
  assert all(image.ravel().tolist() == [label] * 3 for r, (image, label) in examples if r)
  assert imagenet_records.skipped_records() == before + 3
  message, = [record.getMessage() for record in caplog.records]
  assert message.startswith('Skipped 1 unreadable validation record') and 'could not correctly convert string: x' in message


def test_other_records_take_the_places_of_unreadable_ones(tmp_path):
  records = imagenet_records.ordered_records(write(tmp_path, [16], broken=(0, 1, 2, 3, 5, 6, 13)), 16)
  dataset = imagenet_records.filled_batches(make(records, 16), 4)
  assert [spec.shape.as_list() for spec in dataset.element_spec] == [[4, 1, 1, 3], [4]]
  batches = [label.tolist() for _, label in dataset.as_numpy_iterator()]
  assert batches == [[4, 7, 4, 7], [8, 9, 10, 11], [12, 14, 14, 15]]
  np.testing.assert_array_equal([image[:, 0, 0, 0] for image, _ in dataset.as_numpy_iterator()], batches)


def test_a_damaged_file_loses_its_rest_alone(tmp_path, caplog):
  names = write(tmp_path, [10, 10, 10])
  data = (tmp_path / '01').read_bytes()
  (tmp_path / '01').write_bytes(data[:len(data) // 2] + b'damage' + data[len(data) // 2 + 6:])
  with caplog.at_level(logging.WARNING, 'absl'):
    examples = list(make(shuffled(names, 30).take(60), 30).as_numpy_iterator())
  for epoch in (examples[:30], examples[30:]):
    labels = sorted(int(label) for readable, (_, label) in epoch if readable)
    assert labels == [*range(14), *range(20, 30)] or labels == [*range(15), *range(20, 30)]
  assert any('a damaged file ends early' in record.getMessage() for record in caplog.records)


def test_files_that_are_gone_count_as_unreadable(tmp_path):
  names = write(tmp_path, [4, 4, 4])
  (tmp_path / '02').unlink()
  examples = list(make(imagenet_records.ordered_records(names, 12), 12).as_numpy_iterator())
  assert sorted(int(label) for readable, (_, label) in examples if readable) == list(range(8))
  assert len(examples) == 12


def test_more_records_than_expected_are_an_error(tmp_path):
  names = write(tmp_path, [7, 6, 7])
  with pytest.raises(tf.errors.InvalidArgumentError, match='hold more than the 19 records'):
    read(shuffled(names, 19).take(40))
  with pytest.raises(tf.errors.InvalidArgumentError, match='hold more than the 19 records'):
    read(imagenet_records.ordered_records(names, 19))


@pytest.mark.parametrize('records, broken, fails', [
    (20, 10, False), (20, 11, True), (1500, 500, False), (1500, 501, True)])
def test_more_than_half_unreadable_at_the_start_is_an_error(tmp_path, records, broken, fails):
  dataset = make(imagenet_records.ordered_records(write(tmp_path, [records], range(broken)), records), records)
  if not fails:
    assert sum(bool(r) for r, _ in dataset.as_numpy_iterator()) == records - broken
    return
  with pytest.raises(tf.errors.InvalidArgumentError, match=f'{broken} of the first {broken} training records cannot be '
                     r'read. The latest: InvalidArgumentError.*could not correctly convert string: x'):
    list(dataset)


def test_fewer_records_than_expected_end_in_an_error(tmp_path):
  names = write(tmp_path, [10])
  dataset = make(shuffled(names, 2000), 2000)
  with pytest.raises(tf.errors.InvalidArgumentError, match='training records cannot be read.*hold fewer records'):
    list(dataset.take(2000))
