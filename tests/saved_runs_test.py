"""Runs that users began with the code of commit 3d235d8: their configurations are read, and they go on."""

import functools
import pathlib

import gin
import numpy as np
import pytest
import tensorflow as tf

from detection.data.sources import ShapesData
import detection.train
from evonorm_tf import sweep
import evonorm_tf.train
import gan.train
from search import run_search
from search.evaluation.evaluation import Evaluation
from search.journal import records
from search.journal.saved_search import load_search
from search.reporting.comparison_report import compare_searches
from tests.gan import tiny_network
from tests.saved import folders
from tests.saved import networks

ROOTS = {'classifier': 'run_classification', 'others': 'run_classification', 'sweep': 'run_sweep', 'gan': 'run_gan',
         'detector': 'run_mask_rcnn', 'search': 'run_search'}
FILES = [folders.gin_file(name) for name in ROOTS] + sorted(folders.FOLDER.glob('*/operative_config.gin'))


@pytest.fixture
def expected():
  return folders.expected_arrays()


@pytest.mark.usefixtures('no_configuration')
@pytest.mark.parametrize('file', FILES, ids=lambda file: '/'.join(file.parts[-2:]))
def test_a_configuration_names_what_is_there(file, monkeypatch):
  monkeypatch.chdir(folders.FOLDER)
  gin.parse_config_file(str(file))
  root = ROOTS[file.stem if file.stem in ROOTS else file.parent.name]
  bound = {selector.rpartition('.')[2] for _, selector in gin.config._CONFIG}
  assert root in bound
  for scope, selector in gin.config._CONFIG:
    if selector != 'gin.macro':
      gin.get_bindings(f'{scope}/{selector}' if scope else selector)  # makes the objects that it refers to


@pytest.fixture
def go_on(call_binary, tmp_path, monkeypatch):
  """A function that calls a program on a copy of what was saved, in the same folder as users did; returns the copy."""
  monkeypatch.chdir(folders.FOLDER)

  def call(main, name, *bindings, **options):
    model_dir = folders.copied(name, tmp_path)
    assert call_binary(main, *bindings, file=folders.gin_file(name), model_dir=model_dir, **options) is None
    return model_dir

  return call


def test_a_search_is_read_and_compared(tmp_path):
  saved = load_search(folders.FOLDER / 'search')
  assert [r.stage for r in saved.records] == ['reference'] + ['evolution'] * 4 + ['reranking'] * 2
  best = records.best(saved.records)
  assert (best.index, best.scores) == (3, {'resnet': .1, 'mobilenet_v2': .11})
  report = pathlib.Path(compare_searches([str(folders.copied('search', tmp_path))], str(tmp_path / 'report')))
  assert 'y = max(x, s[w,h](x)) · γ + β' in report.read_text()


def test_a_search_goes_on(go_on, monkeypatch):
  evaluate, evaluated = Evaluation.evaluate, []

  @functools.wraps(evaluate)
  def counted(self, spec):
    evaluated.append(spec)
    return evaluate(self, spec)

  monkeypatch.setattr(Evaluation, 'evaluate', counted)
  model_dir = go_on(run_search.main, 'search', folders.LONGER['search'], *folders.SEARCHED_BEFORE)
  assert len(evaluated) == 1
  assert folders.candidate_4(model_dir) == folders.expected_values()['candidate_4']
  old, new = (load_search(folder).records for folder in (folders.FOLDER / 'search', model_dir))
  assert new[:len(old)] == old and len(new) == len(old) + 1


def test_a_search_of_other_defaults_is_refused_with_what_differs(call_binary, tmp_path, monkeypatch):
  monkeypatch.chdir(folders.FOLDER)
  end = call_binary(run_search.main, folders.LONGER['search'], file=folders.gin_file('search'),
                    model_dir=folders.copied('search', tmp_path))
  for difference in ("`same_layer` is 'affine' here and 'exact' there", '`strategy.mutations` is 2 here and 1 there',
                     '`strategy.random_offspring` is 0.5 here and 0.0 there',
                     "`space.uniform_over` is 'primitives' here and 'pairs' there"):
    assert difference in str(end)


@pytest.mark.parametrize('main, name', [
    (evonorm_tf.train.main, 'classifier'), pytest.param(gan.train.main, 'gan', marks=pytest.mark.slow)])
def test_a_training_goes_on(go_on, main, name):
  """A step moves the variables as far as it did then only if weights, slots, averages and counters are restored."""
  assert folders.step(folders.FOLDER / name) == 2
  model_dir = go_on(main, name, folders.LONGER[name], mode='train')
  assert folders.step(model_dir) == 3
  moved = folders.movement(folders.FOLDER / name, model_dir)
  assert moved == pytest.approx(folders.expected_values()[name], rel=1e-3)


def test_a_classifier_is_exported(go_on, expected):
  model_dir = go_on(evonorm_tf.train.main, 'classifier', mode='export')
  logits = networks.classifier_logits(model_dir / 'export', expected['classifier_images'])
  folders.assert_close(logits, expected['classifier_logits'])


def test_a_gan_draws(go_on, expected):
  """The averaged generator's images have the colours of that time, in grey levels."""
  model_dir = go_on(gan.train.main, 'gan', mode='sample', classes=['3', '1'])
  np.testing.assert_allclose(networks.gan_colours(model_dir / 'samples'), expected['gan_colours'], atol=.1)


@pytest.mark.slow
def test_a_detector_s_variables_are_those_of_its_network(no_configuration, expected):
  model, folder = networks.detector(), folders.FOLDER / 'detector'
  tf.train.Checkpoint(model=model).read(
      tf.train.latest_checkpoint(str(folder))).expect_partial().assert_existing_objects_matched()
  counters = ('global_step', 'optimizer', 'save_counter')
  saved = [v for v in folders.variables(folder) if not v.startswith(counters) and '.OPTIMIZER_SLOT' not in v]
  assert len(saved) == len(model.variables)
  folders.assert_close(networks.detector_features(model, expected['detector_images']), expected['detector_features'])


@pytest.mark.slow
def test_a_detector_s_training_goes_on(go_on, tmp_path):
  data = f"ShapesData.folder = '{tmp_path / 'new_shapes'}'"  # the images of the old ones are not kept
  model_dir = go_on(detection.train.main, 'detector', folders.LONGER['detector'], data, mode='train')
  assert folders.step(model_dir) == 3
  moved = folders.movement(folders.FOLDER / 'detector', model_dir)
  assert moved.keys() >= {'backbone', 'decoder', 'rpn_head', 'detection_head', 'mask_head'}


def test_prepared_data_are_not_made_again(tmp_path, monkeypatch):
  folder = folders.copied('shapes', tmp_path)
  for split in ('train', 'val'):
    (folder / 'records' / split / 'records-00000-of-00001.tfrecord').touch()
  monkeypatch.setattr('detection.shapes.draw_scene', None)
  train, validation = ShapesData(str(folder), train=4, validation=2, size=64).read()
  assert (train.num_examples, validation.num_examples, train.num_classes) == (4, 2, 6)


def test_statistics_of_real_images_are_not_made_again(tmp_path, monkeypatch):
  folder = folders.copied('real_statistics', tmp_path)
  monkeypatch.setattr(tiny_network.FeatureNetwork, '__call__', None)
  statistics = networks.noise_statistics(folder)
  images = np.random.default_rng(0).uniform(-1, 1, [20, 8, 8, 3])
  folders.assert_close(statistics.mean, tiny_network.features_in_numpy(images).mean(axis=0))


def test_a_sweep_s_runs_are_not_made_again(go_on, monkeypatch):
  monkeypatch.setattr('evonorm_tf.batch_size_sweep.sweep.execute', None)
  model_dir = go_on(sweep.main, 'sweep')
  for name in ('results.csv', 'sweep.json'):
    assert (model_dir / name).read_text() == (folders.FOLDER / 'sweep' / name).read_text()
