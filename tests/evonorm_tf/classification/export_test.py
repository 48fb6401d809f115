"""An exported network, trained in bfloat16 and moved to another folder, on pixels and on files of every kind."""

import io
import shutil

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from evonorm_tf.classification import export
from evonorm_tf.data import cifar10
from evonorm_tf.errors import ArgumentError
from tests.evonorm_tf.tiny_training import network
from tests.evonorm_tf.tiny_training import run
from tests.evonorm_tf.tiny_training import TinyData
from tests.evonorm_tf.tiny_training import weights

IMAGES = TinyData().split('test')[0][:8]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """The folder of a training in bfloat16 with an average of the weights, which best/ holds of the last step."""
  folder = tmp_path_factory.mktemp('trained')
  run(folder, precision='mixed_bfloat16', ema_decay=.9, learning_rate=4., epochs_between_evaluations=2)
  assert weights(folder / 'best')['global_step/.ATTRIBUTES/VARIABLE_VALUE'] == 8
  return folder


@pytest.fixture(scope='module')
def moved(trained, tmp_path_factory):
  """The folder of the export, which was moved there."""
  folder = run(trained, mode='export', precision='mixed_bfloat16', ema_decay=.9)
  assert folder == str(trained / 'export')
  return shutil.move(folder, tmp_path_factory.mktemp('elsewhere') / 'moved')


@pytest.fixture(scope='module')
def loaded(moved):
  return tf.saved_model.load(moved)


@pytest.fixture
def from_pixels(loaded):
  return lambda images: loaded.signatures['serving_default'](images=tf.constant(images))


@pytest.fixture
def from_files(loaded):
  return lambda files: loaded.signatures['image_bytes'](image_bytes=tf.constant(files))


def encoded(pixels, kind, mode='RGB', **options):
  """The content of an image file, written by Pillow."""
  file = io.BytesIO()
  Image.fromarray(pixels).convert(mode, palette=Image.Palette.ADAPTIVE).save(file, kind, **options)
  return file.getvalue()


def test_the_outputs_are_those_of_the_averaged_network_in_float32(trained, loaded, from_pixels):
  outputs = from_pixels(IMAGES)
  logits = network(trained / 'best')((IMAGES - cifar10.CHANNEL_MEANS) / cifar10.CHANNEL_STDS, training=False).numpy()
  assert {name: (t.dtype, t.shape.as_list()) for name, t in outputs.items()} == {
      'logits': (tf.float32, [8, 10]), 'probabilities': (tf.float32, [8, 10]), 'classes': (tf.int64, [8])}
  np.testing.assert_allclose(outputs['logits'], logits, atol=1e-5 * np.ptp(logits))
  exponentials = np.exp(logits.astype(np.float64))
  np.testing.assert_allclose(
      outputs['probabilities'], exponentials / exponentials.sum(axis=1, keepdims=True), atol=1e-5)
  np.testing.assert_array_equal(outputs['classes'], logits.argmax(axis=1))
  raw = network(trained)((IMAGES - cifar10.CHANNEL_MEANS) / cifar10.CHANNEL_STDS, training=False)
  assert np.abs(raw - logits).max() > 1e-3 * np.ptp(logits)
  assert {v.dtype for v in loaded.weights} == {tf.float32}
  assert len(loaded.weights) < len(network(trained).variables)  # v1, γ and β are folded


def test_what_cannot_be_copied_is_exported_as_it_is(trained, monkeypatch, caplog):
  def refuse(model):
    raise ArgumentError(f'Layer of {model.name!r} cannot be copied')

  monkeypatch.setattr(export, 'fold_norm_acts', refuse)
  folder = run(trained, mode='export', precision='mixed_bfloat16', ema_decay=.9)
  assert 'nothing is folded: Layer of' in caplog.text
  assert len(tf.saved_model.load(folder).weights) == len(network(trained).variables)


def test_loading_warns_of_nothing(moved, caplog):
  caplog.clear()
  tf.saved_model.load(moved)
  assert not caplog.records


def test_class_names(loaded):
  assert [name.decode() for name in loaded.class_names.numpy()] == list(cifar10.LABEL_NAMES)


def test_other_sizes_are_averaged_over_areas(from_pixels):
  expected = from_pixels(IMAGES)['logits']
  larger = IMAGES.repeat(2, axis=1).repeat(3, axis=2)
  np.testing.assert_allclose(from_pixels(larger)['logits'], expected, atol=1e-4)
  colours = IMAGES[:, :1, :1]
  np.testing.assert_allclose(
      from_pixels(np.tile(colours, [1, 45, 17, 1]))['logits'],
      from_pixels(np.tile(colours, [1, 32, 32, 1]))['logits'], atol=1e-4)
  assert from_pixels(IMAGES[:, :1, :1])['logits'].shape == [8, 10]


def test_files_of_every_kind_and_of_different_sizes(from_pixels, from_files):
  image = IMAGES[0] // 64 * 64  # of at most 64 colours, so that a GIF loses nothing
  grey = image[..., :1].repeat(3, axis=2)
  files = [encoded(image, 'PNG'), encoded(image, 'BMP'), encoded(image, 'GIF', 'P'),
           encoded(image.repeat(2, axis=0), 'PNG'), encoded(image, 'PNG', 'RGBA'), encoded(grey, 'PNG', 'L')]
  expected = from_pixels(np.stack([image] * 5 + [grey]))['logits']
  np.testing.assert_allclose(from_files(files)['logits'], expected, atol=1e-4)
  jpeg = encoded(IMAGES[0], 'JPEG', quality=100, subsampling=0)
  np.testing.assert_allclose(from_files([jpeg])['probabilities'], from_pixels(IMAGES[:1])['probabilities'], atol=.02)


def test_of_a_moving_gif_the_first_image_is_read(from_pixels, from_files):
  images = [Image.fromarray(np.full([32, 32, 3], level, np.uint8)).convert('P') for level in (32, 200)]
  file = io.BytesIO()
  images[0].save(file, 'GIF', save_all=True, append_images=images[1:])
  first = np.asarray(images[0].convert('RGB'))[None]
  np.testing.assert_allclose(from_files([file.getvalue()])['logits'], from_pixels(first)['logits'], atol=1e-4)


def test_what_is_no_image_is_refused(from_files):
  with pytest.raises(tf.errors.InvalidArgumentError, match='(?i)unknown image file format'):
    from_files([b'no image'])


def test_a_photograph_is_turned_by_its_orientation(from_pixels, from_files):
  exif = Image.Exif()
  exif[0x0112] = 6  # the stored picture lies on its side
  stored = np.ascontiguousarray(np.rot90(IMAGES[0]))
  file = encoded(stored, 'JPEG', exif=exif, quality=100, subsampling=0)
  shown = np.rot90(tf.io.decode_jpeg(file).numpy(), -1)
  np.testing.assert_allclose(from_files([file])['logits'], from_pixels(shown[None])['logits'], rtol=1e-4, atol=1e-4)
  assert np.abs(from_files([file])['logits'] - from_pixels(stored[None])['logits']).max() > 1e-2
