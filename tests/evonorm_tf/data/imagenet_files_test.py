"""Tests of finding ImageNet's records, and of what the errors say where there are none."""

import json
import shutil

import pytest
import tensorflow as tf

from evonorm_tf.data import imagenet_files
from tests.evonorm_tf import tiny_imagenet

JPEG = tiny_imagenet.encode(tiny_imagenet.photograph(0))


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tfds')
  tiny_imagenet.write_tfds(folder, [JPEG] * 6, [JPEG] * 4)
  return folder


@pytest.fixture
def tfds_folder(prepared, tmp_path):
  """Returns a folder that holds imagenet2012 and can be changed."""
  shutil.copytree(prepared / 'imagenet2012', tmp_path / 'imagenet2012')
  return tmp_path


def find_tfds(folder, split='train', images=6):
  return imagenet_files.find_tfds(str(folder), split, f'{split}_images', images)


def find_files(pattern, images, first_label=1):
  return imagenet_files.find_files('train_files', pattern, 'train', first_label, 'train_images', images)


@pytest.mark.parametrize('split, images', [('train', 6), ('validation', 4)])
def test_tfds_files_hold_jpegs_and_labels_from_0(prepared, split, images):
  files = find_tfds(prepared, split, images)
  decoded = [files.decode(record, 1000) for record in tf.data.TFRecordDataset(files.paths)]
  assert len(decoded) == images and all(jpeg.numpy() == JPEG for jpeg, _ in decoded)
  labels = sorted(int(label) for _, label in decoded)
  assert labels == ([0, 0, 1, 1, 2, 2] if split == 'train' else [65, 230, 809, 970])


def test_advice_for_missing_tfds_data_says_what_where_and_how(tmp_path):
  for folder in (tmp_path, tmp_path / 'absent'):
    with pytest.raises(ValueError) as error:
      find_tfds(folder)
    for part in ('`data_dir` must be a TFDS folder that holds the train split of imagenet2012', f"received '{folder}'",
                 f"Looked for '{folder}/imagenet2012'", 'https://image-net.org/download-images',
                 'ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar', f"'{folder}/downloads/manual'",
                 f'tfds build imagenet2012 --data_dir={folder}'):
      assert part in str(error.value)
  assert not list(tmp_path.iterdir()), 'looking for data wrote files'


def test_incomplete_tfds_data(tfds_folder):
  version, = (tfds_folder / 'imagenet2012').iterdir()
  file, = version.glob('imagenet2012-validation.tfrecord*')
  file.unlink()
  find_tfds(tfds_folder)
  with pytest.raises(ValueError, match=f"(?s)1 of 1 files are missing: '{file}'.*tfds build imagenet2012"):
    find_tfds(tfds_folder, 'validation', 4)
  (version / 'dataset_info.json').write_text('garbage')
  with pytest.raises(ValueError, match='(?s)Reading it failed with .*tfds build imagenet2012'):
    find_tfds(tfds_folder)


def test_other_file_formats_and_counts_of_tfds(tfds_folder):
  with pytest.raises(ValueError, match='`train_images` must be 6, the number in .*received 1281167'):
    find_tfds(tfds_folder, images=1_281_167)
  version, = (tfds_folder / 'imagenet2012').iterdir()
  info = json.loads((version / 'dataset_info.json').read_text())
  (version / 'dataset_info.json').write_text(json.dumps({**info, 'fileFormat': 'array_record'}))
  for file in version.glob('*.tfrecord*'):
    file.rename(str(file).replace('tfrecord', 'array_record'))
  with pytest.raises(ValueError, match='`data_dir` must hold imagenet2012 as tfrecord files.*with array_record files'):
    find_tfds(tfds_folder)


@pytest.mark.parametrize('first_label', [0, 1])
def test_tfrecords_are_found_in_order_and_labels_counted_from_the_first(tmp_path, first_label):
  pattern = tiny_imagenet.write_records(
      tmp_path, 'train', [tiny_imagenet.example(JPEG, label + first_label) for label in range(6)], files=3)
  files = find_files(pattern, 6, first_label)
  assert files.paths == tuple(f'{tmp_path}/train-{number:05}-of-00003' for number in range(3))
  decoded = [files.decode(record, 6) for record in tf.data.TFRecordDataset(files.paths)]
  assert [int(label) for _, label in decoded] == [0, 3, 1, 4, 2, 5]
  assert {jpeg.numpy() for jpeg, _ in decoded} == {JPEG} and {label.dtype for _, label in decoded} == {tf.int32}


def test_advice_for_missing_tfrecords(tmp_path):
  with pytest.raises(ValueError) as error:
    find_files(f'{tmp_path}/train*', 6)
  for part in ("`train_files` must match TFRecord files of ImageNet's train images", f"received '{tmp_path}/train*'",
               'train-00000-of-01024', 'image/encoded', 'image/class/label (an integer, 1 for the first class)',
               'imagenet2012', '`data_dir`'):
    assert part in str(error.value)


@pytest.mark.parametrize('images', [1, 2, 6, 8, 9])
def test_number_of_images_may_be_from_half_to_twice_the_estimate(tmp_path, images):
  pattern = tiny_imagenet.write_records(tmp_path, 'train', [b''] * 4)
  if images in (1, 9):
    with pytest.raises(ValueError, match=f'`train_images` must be .*received {images}: 2 files, of which the first '
                       'has 2 records, hold about 4'):
      find_files(pattern, images)
  else:
    assert len(find_files(pattern, images).paths) == 2


def test_a_bracket_in_a_name_is_escaped_as_the_advice_says(tmp_path):
  folder = tmp_path / 'a[1]'
  folder.mkdir()
  tiny_imagenet.write_records(folder, 'train', [b''] * 6)
  assert len(find_files(f'{tmp_path}/a[[]1]/train-*', 6).paths) == 2
  with pytest.raises(ValueError, match=r'which matches none.*a bracket that is part of a name is written \[\[\]'):
    find_files(f'{tmp_path}/a[1]/train-*', 6)


def test_files_that_are_no_tfrecords(tmp_path):
  (tmp_path / 'train.jpg').write_bytes(JPEG)
  with pytest.raises(ValueError, match="`train_files` must match TFRecord files.*train.jpg' failed with DataLossError"):
    find_files(str(tmp_path / '*.jpg'), 6)


@pytest.mark.parametrize('damaged', [(0,), (0, 1)])
@pytest.mark.parametrize('kept', [0, 20, 60])
def test_the_number_of_images_is_told_by_the_first_file_that_is_not_damaged(tmp_path, damaged, kept):
  pattern = tiny_imagenet.write_records(tmp_path, 'train', [b''] * 30, files=3)  # 10 records of 16 bytes in each
  for number in damaged:
    path = tmp_path / f'train-{number:05}-of-00003'
    path.write_bytes(path.read_bytes()[:kept])
  assert len(find_files(pattern, 30).paths) == 3
  with pytest.raises(ValueError, match=f'of which the {len(damaged) + 1}th has 10 records, hold about 30'):
    find_files(pattern, 61)


def test_one_file_of_many_that_can_be_read_is_enough(tmp_path):
  pattern = tiny_imagenet.write_records(tmp_path, 'train', [b''] * 26, files=13)
  for path in sorted(tmp_path.iterdir())[:12]:
    path.write_bytes(b'damaged')
  assert len(find_files(pattern, 26).paths) == 13


@pytest.mark.parametrize('record, message', [
    (tiny_imagenet.example(JPEG, 0), 'image/class/label must be from 1 to 9, received'),
    (tiny_imagenet.example(JPEG, 10), 'image/class/label must be from 1 to 9, received'),
    (tf.train.Example().SerializeToString(), r'image/(encoded|class/label)'),
    (b'garbage', 'Could not parse example')])
def test_broken_records(record, message):
  files = imagenet_files.RecordFiles((), 'image/encoded', 'image/class/label', 1)
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    files.decode(record, 9)
