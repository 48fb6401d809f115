"""Searches that Python runs: by the name of a configuration, by a gin file, with objects."""

import gin
import pytest

from evonorm_tf import former_names
from evonorm_tf.cli import gin_configuration
from evonorm_tf.errors import ArgumentError
from evonorm_tf.output.model_dir import ModelDirError
import search
from tests.search.fake_search import FakeEvaluation
from tests.search.fake_search import read
from tests.search.fake_search import stage


@pytest.fixture(autouse=True)
def keeps_gin():
  """gin's configuration is as it was after each test."""
  gin.clear_config()
  yield
  assert gin.config_str() == ''


def run(model_dir, config='smoke', **settings):
  return search.run(config, model_dir=model_dir, evaluation=FakeEvaluation(), **settings)


def test_objects_take_the_place_of_the_configurations(bare, tmp_path):
  found = run(tmp_path, space=search.SearchSpace(6), evolution=search.RandomSearch(), candidates=7, seed=3)
  assert isinstance(found, search.Search) and found.config['space']['nodes'] == 6
  assert found.config['strategy'] == {'class': 'RandomSearch'} and found.config['window'] == 3  # the file's
  assert found.config['evaluation']['class'] == found.config['reranking']['evaluation']['class'] == 'FakeEvaluation'
  assert found.config['reranking']['seeds'] == 2 and found.config['seed'] == 3
  assert len(list(found.candidates)) == 7 and [layer.name for layer in found.references] == ['bn_relu']
  with pytest.raises(ArgumentError, match='objects, which its folder does not keep'):
    found.resume()


def test_a_real_evaluation_reranks_without_tests_on_the_test_images(bare, tmp_path, monkeypatch):
  given = {}
  monkeypatch.setattr('search.evolution.run_search', lambda **arguments: given.update(arguments))
  monkeypatch.setattr(gin_configuration, 'configure', lambda *_: search.evolution.run_search)
  monkeypatch.setattr(gin_configuration, 'bound_arguments', lambda _: {'reranking': search.Reranking(None, seeds=5)})
  monkeypatch.setattr('search.library.running.Search', lambda model_dir: None)
  evaluation = search.Evaluation(
      search.ProxyTask((search.Architecture('resnet'),)), quality=search.QualityTest(), tests=(object(),),
      stability=search.StabilityTest(), measures_cost=True)
  search.run(model_dir=tmp_path, evaluation=evaluation)
  again = given['reranking']
  assert again.seeds == 5 and again.evaluation.test and again.evaluation.quality is again.evaluation.stability is None
  assert again.evaluation.task == evaluation.task and not again.evaluation.measures_cost
  assert again.evaluation.tests == () and 'callbacks' not in given


def test_a_search_of_settings_alone_can_be_resumed(bare, tmp_path, monkeypatch):
  path = tmp_path / 'mine.gin'
  path.write_text("""from __gin__ import dynamic_registration
from search import evolution
from search.graphs import random_graph
from search.selection import proposal
from tests.search import fake_search
evolution.run_search.evaluation = @fake_search.FakeEvaluation()
evolution.run_search.reranking = @evolution.Reranking()
evolution.Reranking.evaluation = @fake_search.FakeEvaluation()
evolution.run_search.strategy = @proposal.TournamentEvolution()
proposal.TournamentEvolution.initial_candidates = 2
evolution.run_search.space = @random_graph.SearchSpace()
evolution.run_search.window = 5
evolution.run_search.candidates = 4
""")
  seen = []
  found = search.run(path, model_dir=tmp_path / 'run', seed=5, window=3)
  assert found.config['seed'] == 5 and found.config['window'] == 3 and len(list(found.candidates)) == 4
  again = search.Search(tmp_path / 'run').resume(candidates=6, callbacks=[lambda found, record: seen.append(record)])
  assert len(list(again.candidates)) == 6 and again.config == found.config and len(seen) >= 2
  with pytest.raises(ModelDirError, match='seed'):
    search.run(path, model_dir=tmp_path / 'run', seed=6, window=3)


@pytest.mark.parametrize('config, message', [
    ('no_such', 'no_such.gin'), ('nowhere/mine.gin', 'nowhere/mine.gin')])
def test_an_unknown_configuration(tmp_path, config, message):
  with pytest.raises(ArgumentError, match=message):
    run(tmp_path, config)


@pytest.mark.parametrize('settings, message', [
    ({'candidate': 3}, 'candidate'), ({'candidates': 'many'}, 'candidates'), ({'candidates': 0}, '`candidates`'),
    ({'callbacks': [3]}, '`callbacks`'), ({'strategy_': object()}, 'strategy_')])
def test_wrong_settings(tmp_path, settings, message):
  with pytest.raises(ArgumentError, match=message):
    run(tmp_path, **settings)
  assert not (tmp_path / 'journal.jsonl').exists()


def test_a_configuration_of_ones_own_in_gin_is_kept(bare, tmp_path):
  gin.parse_config('RATE = 3')
  thing = object()
  gin.bind_parameter('search.evolution.run_search.seed', thing)  # no literal
  run(tmp_path, candidates=1)
  assert gin.query_parameter('%RATE') == 3 and not gin.config_is_locked()
  assert gin.query_parameter('search.evolution.run_search.seed') is thing
  gin.parse_config('RATE = 4')
  gin.clear_config()


def test_dir_is_the_api():
  assert dir(search) == search.__all__ and 'run' in dir(search) and 'evolution' not in dir(search)
  # The import of a former module gives the package an attribute of its name.
  assert not {f'search.{name}' for name in dir(search)} & former_names.FORMER_MODULES.keys()


@pytest.mark.slow
def test_the_smoke_search(tmp_path):
  found = search.run('smoke', model_dir=tmp_path, callbacks=[search.HParams()])
  assert found.best is None or found.best.test_scores
  assert len(stage(read(tmp_path), 'evolution')) == 3
