"""Checksums of the journal's lines: the value, every flipped bit, and journals without checksums."""

import dataclasses
import json
import pathlib
import random
import shutil

import pytest

from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import ModelDirError
from search.journal import journal as journal_lib
from search.journal.checksums import take_checksum
from search.journal.checksums import with_checksum
from search.journal.journal import Journal

SAVED = pathlib.Path(__file__).parents[2] / 'saved' / 'search' / 'journal.jsonl'  # by version 0.1
CONFIG = {'seed': 3}


def flipped(data, position):
  """The data with one bit changed."""
  return data[:position // 8] + bytes([data[position // 8] ^ 1 << position % 8]) + data[position // 8 + 1:]


@pytest.fixture
def path(tmp_path, make_record):
  """A journal of three records."""
  with Journal(tmp_path / 'journal.jsonl', CONFIG) as journal:
    for index in range(3):
      journal.append(make_record(index=index, scores=(.5, .25)))
  return tmp_path / 'journal.jsonl'


def test_the_checksum_is_the_crc_32_of_the_line_without_it():
  assert with_checksum(b'{"a": 1}') == b'{"a": 1, "checksum": "fba18e97"}'  # as `printf '{"a": 1}' | gzip` has it


@pytest.mark.parametrize('line', [
    b'{"a": 1}', b'{"stage": "evolution", "index": 17, "scores": {"resnet": 0.5}, "elapsed": 3.25}'])
def test_every_flipped_bit_of_a_line_is_found(line):
  line = with_checksum(line)
  take_checksum(line, json.loads(line))
  for position in range(8 * len(line)):
    with pytest.raises(ArgumentError, match='does not fit its checksum'):
      take_checksum(flipped(line, position), {})  # even where the key is no longer the checksum's


def test_flipped_bits_of_a_journal_are_found_by_file_and_line(path):
  whole = path.read_bytes()
  config, records = journal_lib.read(path)
  bits = random.Random(0).sample(range(8 * len(whole)), 200)
  for position in (*bits, *range(8 * len(whole) - 8, 8 * len(whole))):
    path.write_bytes(flipped(whole, position))
    number = whole[:position // 8].count(b'\n') + 1
    if position < 8 * len(whole) - 8:
      with pytest.raises(ModelDirError, match=rf'journal\.jsonl, line {number}: '):
        journal_lib.read(path)
    else:  # the last line has lost its end, and counts as torn
      assert journal_lib.read(path) == (config, records[:2])


def test_a_line_whose_checksum_was_taken_off_passes_as_one_of_version_0_1(path):
  config, records = journal_lib.read(path)
  lines = [json.loads(line) for line in path.read_bytes().splitlines()]
  for line in lines:
    del line['checksum']
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  assert journal_lib.read(path) == (config, records)


def test_a_journal_of_version_0_1_goes_on_with_checksums(tmp_path):
  path = tmp_path / 'journal.jsonl'
  shutil.copy(SAVED, path)
  before = path.read_bytes()
  config, records = journal_lib.read(path)
  assert b', "checksum": "' not in before and records
  new = dataclasses.replace(next(r for r in records if r.stage == 'evolution'), index=1000)
  with Journal(path, config) as journal:
    assert journal.records == records
    journal.append(new)
  assert path.read_bytes() == before + with_checksum(json.dumps(new.to_json()).encode()) + b'\n'
  assert journal_lib.read(path) == (config, [*records, new])
