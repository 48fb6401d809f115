"""A handful of images in the forms in which ImageNet comes: TFRecords and TFDS's own, made by its builder."""

import io
import tarfile

import numpy as np
from PIL import Image
import tensorflow as tf
import tensorflow_datasets as tfds

SYNSETS = ('n01440764', 'n01443537', 'n01484850')  # of the classes 0 to 2


def photograph(seed, height=40, width=50):
  """Returns uint8 `[height, width, 3]`: waves of random directions, which survive JPEG."""
  rng = np.random.default_rng(seed)
  rows, columns = np.mgrid[:height, :width] / 50
  waves = [np.sin(a * rows + b * columns + c) for a, b, c in rng.uniform(-9, 9, (3, 3))]
  return (127.5 + 127.5 * np.stack(waves, -1)).astype(np.uint8)


def encode(image, file_format='JPEG', mode='RGB'):
  """Returns the bytes of an image file."""
  file = io.BytesIO()
  Image.fromarray(image).convert(mode).save(file, file_format)
  return file.getvalue()


def example(encoded, label):
  """Returns a record as Model Garden reads it."""
  return tf.train.Example(features=tf.train.Features(feature={
      'image/encoded': tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
      'image/class/label': tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))})).SerializeToString()


def write_records(folder, split, records, files=2):
  """Writes records to TFRecord files in turn and returns their glob."""
  for number in range(files):
    with tf.io.TFRecordWriter(str(folder / f'{split}-{number:05}-of-{files:05}')) as writer:
      for record in records[number::files]:
        writer.write(record)
  return str(folder / f'{split}-*')


def write_tfds(data_dir, train, validation):
  """Prepares imagenet2012 of JPEGs as our advice for missing data has it; training labels are 0, 1, 2, 0 ..."""
  archives = data_dir / 'downloads' / 'manual'
  archives.mkdir(parents=True)
  of_class = [_tar({f'{synset}_{i}.JPEG': jpeg for i, jpeg in enumerate(train[number::3])})
              for number, synset in enumerate(SYNSETS)]
  (archives / 'ILSVRC2012_img_train.tar').write_bytes(_tar(dict(zip([f'{s}.tar' for s in SYNSETS], of_class))))
  (archives / 'ILSVRC2012_img_val.tar').write_bytes(
      _tar({f'ILSVRC2012_val_{i + 1:08}.JPEG': jpeg for i, jpeg in enumerate(validation)}))
  tfds.builder('imagenet2012', data_dir=data_dir).download_and_prepare()


def _tar(files):
  archive = io.BytesIO()
  with tarfile.open(fileobj=archive, mode='w') as tar:
    for name, content in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(content)
      tar.addfile(member, io.BytesIO(content))
  return archive.getvalue()
