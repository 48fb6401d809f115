"""The nuclei: crops against the package's own pages, and the two sets apart from each other.

Needs the package ndev-sampledata: pip install --no-deps ndev-sampledata==0.0.3
"""

import contextlib
import importlib.metadata
import io

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
import pytest
from rich.console import Console

from detection.data import nuclei
from detection.data.nuclei import Crop
from detection.data.nuclei import write_nuclei
from tests.detection.tiny_coco import decode_records

try:
  nuclei.find_recording()
  INSTALLED = True
except ImportError:
  INSTALLED = False
needs_package = pytest.mark.skipif(not INSTALLED, reason='ndev-sampledata is not installed')
SIZE = 105
CROPS = {'train': nuclei.training_crops(SIZE), 'val': nuclei.validation_crops(SIZE)}


def page(channel, frame):
  """A page of the file: stain 0, oblique 1, nuclei 2, cells 3."""
  with Image.open(nuclei.find_recording()) as file:
    file.seek(10 * channel + frame)
    return np.asarray(file).astype(int)


def window(crop):
  return slice(crop.top, crop.top + SIZE), slice(crop.left, crop.left + SIZE)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('nuclei')
  infos = write_nuclei(folder, console=Console(file=io.StringIO()))
  with contextlib.redirect_stdout(io.StringIO()):
    return folder, infos, {name: COCO(info.annotation_file) for name, info in zip(('train', 'val'), infos)}


@needs_package
@pytest.mark.parametrize('split', ['train', 'val'])
def test_masks_are_the_label_pages(data, split):
  """Each pixel of each page within the crop, by pycocotools; the crowds are what is hardly visible."""
  coco = data[2][split]
  assert sorted(coco.imgs) == list(range(1, len(CROPS[split]) + 1))
  for image_id, crop in list(enumerate(CROPS[split], start=1))[::3]:
    for class_id in (1, 2):
      labels = page(class_id + 1, crop.frame)
      cut = labels[window(crop)]
      expected = [cut == label for label in np.unique(cut[cut > 0])]
      annotations = coco.loadAnns(coco.getAnnIds(image_id, class_id))
      np.testing.assert_array_equal([coco.annToMask(annotation) for annotation in annotations], expected)
      for annotation, mask in zip(annotations, expected):
        whole = np.count_nonzero(labels == cut[mask][0])
        assert annotation['iscrowd'] == (mask.sum() < 16 or mask.sum() / whole < .25)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert annotation['bbox'] == [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]


@needs_package
def test_images_are_the_other_pages(data):
  """Red and green grow with the oblique page, blue with the stain, from black to white; records hold the same."""
  folder, infos, _ = data
  records = {int(record['source_id']): record for record in decode_records(infos[1])}
  for image_id in (1, 22, 40):
    crop = CROPS['val'][image_id - 1]
    image = np.asarray(Image.open(folder / 'images' / 'val' / f'{image_id:06d}.png')).astype(int)
    np.testing.assert_array_equal(records[image_id]['image'], image)
    assert len(records[image_id]['groundtruth_classes']) > 3
    for channel, source in ((0, 1), (1, 1), (2, 0)):
      values = page(source, crop.frame)[window(crop)].ravel()
      order = np.argsort(values, kind='stable')
      assert (np.diff(image[..., channel].ravel()[order]) >= 0).all()
      assert np.ptp(image[..., channel]) > 150


@needs_package
def test_no_object_is_in_both_sets():
  (_, end), (first, _) = nuclei.TRAIN_COLUMNS, nuclei.VALIDATION_COLUMNS
  widest = 0
  for frame in range(10):
    for channel in (2, 3):
      labels = page(channel, frame)
      assert not set(np.unique(labels[:, :end])) & set(np.unique(labels[:, first:])) - {0}
      widest = max(widest, *(np.ptp(np.nonzero(labels == label)[1]) + 1 for label in np.unique(labels[labels > 0])))
  assert widest == 93 < first - end


@pytest.mark.parametrize('size', [64, 105, 128, 210])
def test_crops(size):
  """They stay in their regions; those of training cover theirs, those of validation do not overlap."""
  for crops, (first, end), most in ((nuclei.training_crops(size), nuclei.TRAIN_COLUMNS, None),
                                    (nuclei.validation_crops(size), nuclei.VALIDATION_COLUMNS, 1)):
    count = np.zeros([10, 210, 576], int)
    for crop in crops:
      count[crop.frame, crop.top:crop.top + size, crop.left:crop.left + size] += 1
    assert count.sum() == len(crops) * size ** 2 and len(set(crops)) == len(crops)
    assert not count[:, :, :first].any() and not count[:, :, end:].any()
    assert count.max() == 1 if most else count[:, :, first:end].min() >= 1
  assert len(CROPS['train']) == 120 and len(CROPS['val']) == 40


def test_specks_and_slivers_are_crowds():
  labels = np.zeros([1, 210, 576], int)
  labels[0, 50:70, 95:120] = 3  # ten of 25 columns within the crop
  labels[0, 10:30, 101:121] = 5  # four of 20
  labels[0, :4, :4], labels[0, 90:93, :5] = 7, 9  # 16 and 15 pixels
  recording = nuclei.Recording(np.zeros([1, 210, 576, 3], np.uint8), {1: labels, 2: 0 * labels})
  image, annotations = nuclei.cut(recording, Crop(0, 0, 0), SIZE)
  assert image.shape == (SIZE, SIZE, 3)
  assert [(a['area'], a['iscrowd'], a['category_id']) for a in annotations] == [
      (200, 0, 1), (80, 1, 1), (16, 0, 1), (15, 1, 1)]


@needs_package
def test_what_a_trainer_reads(data):
  train, validation = data[1]
  assert (train.num_examples, validation.num_examples, train.num_classes) == (120, 40, 3)
  assert train.category_names == validation.category_names == {1: 'nucleus', 2: 'cell'}
  with pytest.raises(ValueError, match='`crop` is 128 here and 105 there. Give this preparation of nuclei a `folder`'):
    write_nuclei(data[0], crop=128)


def test_refusals(tmp_path, monkeypatch):
  with pytest.raises(ValueError, match='`crop` must be an integer from 64 to 210, received 300'):
    write_nuclei(tmp_path, crop=300)
  Image.new('I;16', (576, 210)).save(tmp_path / 'other.tiff')
  with pytest.raises(ValueError, match=r'40 pages of 210x576 pixels.*received \[1, 210, 576\]'):
    nuclei.read_recording(tmp_path / 'other.tiff')
  with pytest.raises(ValueError, match="`folder` must be a new or empty folder.* of nuclei; .*'other.tiff'"):
    write_nuclei(tmp_path)

  def absent(name):
    raise importlib.metadata.PackageNotFoundError(name)
  monkeypatch.setattr(importlib.metadata, 'distribution', absent)
  with pytest.raises(ImportError, match=r"ndev-sampledata, which is not installed. .*pip install '\.\[nuclei\]'"):
    nuclei.find_recording()
