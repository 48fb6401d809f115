"""Callbacks of a search with a fake evaluation."""

import json
import types

import pytest
import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from search.journal.saved_search import load_search
from search.library.callbacks import Callback
from search.library.callbacks import EarlyStopping
from search.library.hparams import HParams
from tests.search.fake_search import read
from tests.search.fake_search import search
from tests.search.fake_search import stage
from tests.search.fake_search import untimed


class Watching(Callback):
  """Notes what it is told, and that each record was on disk by then."""

  def __init__(self):
    self.seen = []

  def on_search_begin(self, found):
    self.seen.append(('begin', len(found.records)))

  def on_record(self, found, record):
    assert record == found.records[-1] and load_search(found.model_dir).records == list(found.records)
    self.seen.append((record.stage, record.name))

  def on_search_end(self, found):
    self.seen.append(('end', len(found.records)))


def test_callbacks_get_each_record_once_it_is_written(bare, tmp_path):
  watching, names = Watching(), []
  records = search(tmp_path, callbacks=[watching, lambda found, record: names.append(record.name)])
  expected = [(r['stage'], r.get('name', f'candidate {r["index"]}')) for r in records]
  assert watching.seen == [('begin', 0), *expected, ('end', len(records))]
  assert names == [name for _, name in expected]


def test_callbacks_change_nothing(bare, whole, tmp_path):
  assert untimed(search(tmp_path, callbacks=[Watching()])) == untimed(whole[1])


def test_an_exception_in_a_callback_loses_no_record(bare, whole, tmp_path):
  def fail(found, record):
    if record.index == 5:
      raise RuntimeError('mine')

  with pytest.raises(RuntimeError, match='mine'):
    search(tmp_path, callbacks=[fail])
  kept = read(tmp_path)
  assert kept[-1]['index'] == 5 and kept == untimed(whole[1])[:len(kept)]
  assert untimed(search(tmp_path)) == untimed(whole[1])


def test_an_exception_at_the_begin_comes_before_any_evaluation(bare, tmp_path):
  class Failing(Callback):
    def on_search_begin(self, found):
      raise RuntimeError('mine')

  with pytest.raises(RuntimeError, match='mine'):
    search(tmp_path, callbacks=[Failing()])
  assert read(tmp_path) == []


@pytest.mark.parametrize('wrong', [3, EarlyStopping, 'a'])
def test_what_is_no_callback_is_refused(bare, tmp_path, wrong):
  with pytest.raises(ArgumentError, match='`callbacks` must be'):
    search(tmp_path, callbacks=[wrong])


def test_early_stopping_ends_the_evolution_and_the_reranking_follows(bare, whole, tmp_path):
  records = search(tmp_path, candidates=100, callbacks=[EarlyStopping(patience=4)])
  evolved = stage(records, 'evolution')
  assert len(evolved) < 100 and len(stage(records, 'reranking')) == 5
  best = [max((sum(r['scores'].values()) for r in evolved[:n + 1]), default=0.) for n in range(len(evolved))]
  assert best[-5] == best[-1] and all(best[n] > best[n - 4] for n in range(4, len(evolved) - 1))  # not sooner
  # Resumed, it does not begin another candidate.
  assert untimed(search(tmp_path, candidates=100, callbacks=[EarlyStopping(patience=4)])) == untimed(records)
  assert len(stage(search(tmp_path, candidates=len(evolved) + 3), 'evolution')) == len(evolved) + 3


def test_a_rise_below_min_delta_does_not_count(make_record):
  class Found:
    records, stops = [], 0

    def stop(self):
      self.stops += 1

  found, stopping = Found(), EarlyStopping(2, min_delta=.1)
  stopping.on_search_begin(found)
  for number, score in enumerate((.3, .35, .45, .5)):
    stopping.on_record(found, make_record(index=number, scores=(score,) * 3))
    assert found.stops == 0
  stopping.on_record(found, make_record('reranking', (.2,) * 3, index=0, test_scores=(.2,) * 3))
  assert found.stops == 0
  stopping.on_record(found, make_record(index=4, outcome='failed'))
  assert found.stops == 1


def test_what_was_in_flight_at_the_end_does_not_undo_it(make_record):
  """With several workers candidates are recorded after the evolution has ended, one of them a new best."""
  stops = []
  records = [make_record(index=i, scores=(s,) * 3) for i, s in enumerate((.5, .3, .3, .9))]
  EarlyStopping(2).on_search_begin(types.SimpleNamespace(records=records, stop=lambda: stops.append(1)))
  assert stops == [1]
  EarlyStopping(3).on_search_begin(types.SimpleNamespace(records=records, stop=lambda: stops.append(2)))
  assert stops == [1]


@pytest.mark.parametrize('arguments, name', [((0,), 'patience'), ((1, -.1), 'min_delta'), ((1, 1.1), 'min_delta')])
def test_wrong_arguments_of_early_stopping(arguments, name):
  with pytest.raises(ArgumentError, match=f'`{name}`'):
    EarlyStopping(*arguments)


def hparams_of(folder):
  """What TensorBoard reads of a search's folder: the trials' names, their settings, and the last values by tag."""
  from tensorboard.plugins.hparams import plugin_data_pb2
  trials, hparams, scalars = set(), {}, {}
  for path in (folder / 'tensorboard').iterdir():
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name == 'hparams':
          info = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
          hparams |= {name: getattr(v, v.WhichOneof('kind')) for name, v in info.hparams.items()}
          trials |= {info.group_name} - {''}
        else:
          scalars[value.tag] = float(tf.make_ndarray(value.tensor))
  return trials, hparams, scalars


def test_searches_of_one_name_are_rows_of_their_own(bare, tmp_path):
  for study in ('first', 'second', 'second'):  # this one is resumed
    search(tmp_path / study / 'seed_0', callbacks=[HParams()])
  first, second = (hparams_of(tmp_path / study / 'seed_0')[0] for study in ('first', 'second'))
  assert len(first) == len(second) == 1 and first != second


def test_hparams_are_the_settings_and_the_final_scores(bare, tmp_path):
  records = search(tmp_path / 'mine', callbacks=[HParams()])
  _, hparams, scalars = hparams_of(tmp_path / 'mine')
  assert hparams['window'] == 4 and hparams['strategy'] == 'TournamentEvolution' and hparams['strategy.fraction'] == .5
  assert hparams['space.nodes'] == 6 and hparams['evaluation.task.steps'] == 7
  assert not any(name.startswith('reranking') for name in hparams)
  best = max((r for r in stage(records, 'reranking') if r['index'] is not None and r['scores']),
             key=lambda r: sum(r['scores'].values()))
  means = {key: sum(best[key].values()) / 2 for key in ('scores', 'test_scores')}
  assert scalars == pytest.approx({'best/reranking': means['scores'], 'best/test': means['test_scores']})
  assert json.dumps(hparams)
