"""A search as an object, of a folder on disk, and its layers."""

import base64
import dataclasses
import io
import json
import math
import re

from matplotlib.image import imread
import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from evonorm_tf.layers.norm_act import get_norm_act
from evonorm_tf.output.model_dir import ModelDirError
from search.code_generation.compilation import find_graph
from search.journal.journal import Journal
from search.journal.saved_search import load_search
from search.library.layer import Layer
from search.library.opened_search import Search
from tests.search.fake_search import FINALISTS
from tests.search.fake_search import REFERENCES


@pytest.fixture
def found(whole):
  return Search(whole[0])


def test_layers_are_the_reranked_ones_the_best_first(found, whole):
  scores = {}
  for record in whole[1]:
    if record['stage'] == 'reranking' and record['index'] is not None:
      scores[record['name']] = np.mean(list(record['scores'].values()))
  assert [layer.name for layer in found.layers] == sorted(scores, key=scores.get, reverse=True)
  assert len(found.layers) == FINALISTS and found.best == found.layers[0]
  assert [layer.score for layer in found.layers] == pytest.approx(sorted(scores.values(), reverse=True))
  assert [layer.name for layer in found.references] == list(REFERENCES)


def test_before_the_reranking_layers_are_the_accepted_candidates(whole, tmp_path):
  with Journal(tmp_path / 'journal.jsonl', {}) as journal:
    for record in load_search(whole[0]).records[:9]:
      journal.append(record)
  found = Search(tmp_path)
  means = [layer.score for layer in found.layers]
  assert len(means) == sum(layer.is_accepted for layer in found.candidates) > 1
  assert means == sorted(means, reverse=True) and found.best.reranking_scores == {} and found.best.seeds == []


def test_layers_are_ranked_anew_once_all_were_trained_again(make_record, tmp_path):
  config = {'references': ['bn_relu'], 'reranking': {'top': 2, 'seeds': 2}}
  graphs = [LayerGraph((Node(name, (0,)),)) for name in ('tanh', 'sigmoid', 'exp')]
  searched = [make_record(index=i, scores=(s,) * 2, graph=g) for i, (s, g) in enumerate(zip((.3, .5, .4), graphs))]
  again = [make_record('reranking', (s,) * 2, index=i, graph=graphs[i], test_scores=(s, s), seed=seed)
           for seed in (0, 1) for i, s in ((1, .1), (2, .2))]
  again += [make_record('reranking', (.3, .3), name='bn_relu', test_scores=(.3, .3), seed=seed) for seed in (0, 1)]
  with Journal(tmp_path / 'journal.jsonl', config) as journal:
    for number, record in enumerate(searched + again):
      journal.append(record)
      if 2 <= number < 8:  # also in the middle of the re-ranking
        assert [layer.index for layer in Search(tmp_path).layers] == [1, 2, 0]
        assert find_graph(str(tmp_path)) == graphs[1]
  assert [layer.index for layer in Search(tmp_path).layers] == [2, 1] and find_graph(str(tmp_path)) == graphs[2]
  with Journal(tmp_path / 'journal.jsonl', config) as journal:  # gone on with: another candidate is a finalist
    journal.append(make_record(index=3, scores=(.6, .6), graph=LayerGraph((Node('square', (0,)),))))
  found = Search(tmp_path)
  assert [layer.index for layer in found.layers] == [3, 1, 2, 0]
  assert json.loads((found.report().parent / 'layer_1.json').read_text()) == found.best.graph.to_dict()


def test_a_reranking_of_layers_that_differ_is_complete_without_the_others(make_record, tmp_path):
  config = {'reranking': {'top': 2, 'seeds': 1, 'min_difference': .1}}
  graphs = (LayerGraph((Node('tanh', (0,)),)), LayerGraph((Node('tanh', (0,)), Node('add', (4, 3)))),  # tanh(x) + v1
            LayerGraph((Node('square', (0,)),)))
  with Journal(tmp_path / 'journal.jsonl', config) as journal:
    for i, graph in enumerate(graphs):
      journal.append(make_record(index=i, scores=(.5 - .1 * i,), graph=graph, gradient_norm=1. + i))
    for i, score in ((0, .1), (2, .2)):
      journal.append(make_record('reranking', (score,), index=i, graph=graphs[i], test_scores=(score,), seed=0))
  assert [layer.index for layer in Search(tmp_path).layers] == [2, 0]


def test_where_no_finalist_passes_again_the_scores_of_the_search_stand(make_record, tmp_path):
  config = {'references': [], 'reranking': {'top': 1, 'seeds': 1}}
  with Journal(tmp_path / 'journal.jsonl', config) as journal:
    journal.append(make_record(index=0, scores=(.5,)))
    journal.append(make_record('reranking', index=0, detail='loss is not finite'))
  assert Search(tmp_path).best.index == 0 and find_graph(str(tmp_path)) == Search(tmp_path).best.graph


def test_networks_named_like_columns_have_columns_of_their_own(make_record, tmp_path):
  record = make_record(index=0, scores=(.5, .25))
  with Journal(tmp_path / 'journal.jsonl', {}) as journal:
    journal.append(dataclasses.replace(record, scores={'score': .5, 'seconds': .25}))
  row = Search(tmp_path).to_dataframe().iloc[0]
  assert (row['score'], row['score (network)'], row['seconds (network)']) == (.375, .5, .25)


def test_a_search_without_an_accepted_candidate(tmp_path):
  with Journal(tmp_path / 'journal.jsonl', {}):
    found = Search(tmp_path)
  assert found.best is None and found.layers == [] and 'best: None' in repr(found)
  assert found.to_dataframe().empty
  with pytest.raises(ArgumentError, match='accepted no candidate'):
    found.to_optuna()


def test_a_search_that_runs_can_be_read_again(whole, tmp_path):
  records = load_search(whole[0]).records
  with Journal(tmp_path / 'journal.jsonl', {}) as journal:
    journal.append(records[0])
    found = Search(tmp_path)
    journal.append(records[1])
    assert len(found.records) == 1 and len(found.refresh().records) == 2


def test_no_search(tmp_path):
  with pytest.raises(ModelDirError, match='holds no journal'):
    Search(tmp_path)


def test_layers_by_name_and_number(found):
  assert found.layer(3) == found.layer('candidate 3') and found.layer(3).index == 3
  assert found.layer('bn_relu').known_as is None and found.layer('bn_relu').graph is not None
  with pytest.raises(ArgumentError, match="received 'candidate 99'|received 99"):
    found.layer(99)


def test_candidates_are_all_that_were_evaluated(found, whole):
  expected = [r for r in whole[1] if r['stage'] == 'evolution']
  assert [(c.index, c.outcome, c.detail) for c in found.candidates] == [
      (r['index'], r['outcome'], r['detail']) for r in expected]


def test_a_dataframe_has_a_row_for_each_candidate(found, whole):
  frame = found.to_dataframe(equations=True)
  expected = [r for r in whole[1] if r['stage'] == 'evolution']
  assert list(frame.index) == [r['index'] for r in expected] and list(frame.outcome) == [r['outcome'] for r in expected]
  for row, record in zip(frame.itertuples(), expected):
    means = [row.resnet, row.mobilenet_v2, row.score]
    if record['scores']:
      assert means == [*record['scores'].values(), pytest.approx(np.mean(list(record['scores'].values())))]
    else:
      assert all(math.isnan(value) for value in means)
    assert row.equation.startswith('y = ') and row.seconds == record['seconds'].get('total', 0.)


def test_plots_and_report(found, whole):
  best = max(np.mean(list(c.scores.values())) for c in found.candidates if c.is_accepted)
  curve = next(line for line in found.plot_progress().axes[0].lines if line.get_label() == 'best so far')
  assert curve.get_ydata()[-1] == pytest.approx(best)
  dots = next(c for c in found.plot_pareto().axes[0].collections if c.get_label() == 'accepted candidate')
  assert len(dots.get_offsets()) == sum(c.is_accepted for c in found.candidates)
  folder = whole[0] / 'report'
  files = {path.name for path in folder.iterdir()}  # of the two best, as the search reports them
  (folder / 'report.md').unlink()
  text = found.report().read_text()
  assert text.startswith('# Search for') and 'of the re-ranking, after 7 steps' in text
  assert {path.name for path in folder.iterdir()} == files


def test_an_optuna_study(found, tmp_path):
  optuna = pytest.importorskip('optuna')
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  study = found.to_optuna(f'sqlite:///{tmp_path}/search.db', 'first')
  accepted = [c for c in found.candidates if c.is_accepted]
  assert len(study.trials) == len(list(found.candidates))
  # Optuna's own Pareto front, against the definition.
  front = {t.user_attrs['candidate'] for t in study.best_trials}
  pairs = {c.index: np.array(list(c.scores.values())) for c in accepted}
  assert front == {i for i, own in pairs.items()
                   if not any((other >= own).all() and (other > own).any() for other in pairs.values())}
  assert LayerGraph.from_dict(json.loads(study.trials[0].user_attrs['graph'])) == next(found.candidates).graph
  with pytest.raises(ArgumentError, match="'first' is a study"):
    found.to_optuna(f'sqlite:///{tmp_path}/search.db', 'first')


def test_stop_is_for_the_process_that_runs_the_search(found):
  with pytest.raises(ArgumentError, match='for callbacks'):
    found.stop()


def test_a_layer_becomes_a_keras_layer_and_a_file(found, tmp_path):
  layer = found.best
  x = tf.random.stateless_normal([2, 3, 3, 8], [1, 2])
  expected = layer.graph.evaluate(x.numpy(), np.zeros(8, np.float32), np.ones(8, np.float32), 4)
  np.testing.assert_allclose(layer.norm_act(groups=4)()(x, training=True), expected, rtol=2e-4, atol=2e-4)
  layer.save(tmp_path / 'best.json')
  assert LayerGraph.load(tmp_path / 'best.json') == layer.graph == LayerGraph.from_dict(json.loads(layer.to_json()))
  assert type(found.layer('evonorm_s0').norm_act()()).__name__ == 'EvoNormS0'
  with pytest.raises(ArgumentError, match='end in .json'):
    layer.save(tmp_path / 'best')
  with pytest.raises(ArgumentError, match='`keras` must be 2 or 3, received 4'):
    layer.norm_act(keras=4)


def test_a_layer_tells_its_equation_drawing_cost_and_name(make_record):
  graph = LayerGraph((Node('sigmoid', (0,)), Node('mul', (0, 4)), Node('add', (5, 2))))  # x·σ(x) + v0, which β absorbs
  record = dataclasses.replace(make_record(index=0, scores=(.5,), graph=graph), cost={'step_time': 1.25, 'kept': 2.})
  layer = Layer(record, [record])
  assert layer.equation == 'y = x·σ(x) · γ + β' and layer.latex == r'y = x \, \sigma(x) \cdot \gamma + \beta'
  assert layer.cost == {'step_time': 1.25, 'kept': 2.} and 'SiLU' in layer.known_as
  shown = [text.get_text() for text in layer.draw().axes[0].texts]
  assert 'search: resnet 50.0%' in shown and 'as drawn:' in shown and shown.count('σ') == 1


def test_a_layer_of_keras_3(found):
  keras3 = pytest.importorskip('evonorm_tf.keras3')
  assert isinstance(found.best.norm_act(keras=3)(), keras3.GraphLayer)


def test_the_folder_of_a_search_names_its_best_layer(found, whole, tmp_path):
  factory = get_norm_act(whole[0], groups=2)
  assert factory().graph == found.best.graph and get_norm_act(str(whole[0]))().graph == found.best.graph
  with pytest.raises(ValueError, match='report/layer_1.json'):
    get_norm_act(tmp_path)
  with pytest.raises(ValueError, match=r"on this machine, received 's3://bucket/run'. `search.Search\(url\).best"):
    get_norm_act('s3://bucket/run')


def test_the_standard_error_is_of_the_reranking(make_record):
  records = [make_record(index=0, scores=(.2, .4, .6)),
             *(make_record('reranking', (s,) * 3, index=0, test_scores=(s / 2,) * 3, seed=k)
               for k, s in enumerate((.5, .6, .4)))]
  layer = Layer(records[0], records)
  assert layer.score == pytest.approx(.5) and layer.error == pytest.approx(.1 / 3**.5)
  assert layer.seeds == [0, 1, 2] and layer.scores['resnet'] == .2
  assert layer.test_scores == pytest.approx(dict.fromkeys(layer.scores, .25))
  assert '50.0% ± 5.8' in repr(layer)


def test_a_layer_that_fails_with_one_seed_keeps_its_score_of_the_search(make_record):
  records = [make_record(index=0, scores=(.2, .2, .2)),
             make_record('reranking', (.5,) * 3, index=0, test_scores=(.5,) * 3, seed=0),
             make_record('reranking', index=0, seed=1)]
  layer = Layer(records[0], records)
  assert layer.score == pytest.approx(.2) and layer.reranking_scores == {} and layer.test_scores == {}


def test_ancestors_go_back_to_a_random_graph(make_record):
  records = [make_record(index=i, scores=(.1,) * 3, parent=parent) for i, parent in enumerate((None, 0, None, 1))]
  layer = Layer(records[3], records)
  assert [a.index for a in layer.ancestors] == [0, 1] and layer.parent.index == 1
  assert Layer(records[2], records).parent is None and Layer(records[2], records).ancestors == []


@pytest.mark.usefixtures('drawn_figures')
def test_a_notebook_shows_drawing_and_equation(found):
  shown = found.best._repr_html_()
  image = imread(io.BytesIO(base64.b64decode(re.search('base64,([^"]+)"', shown)[1])))
  assert image.shape[0] > 100 and image[..., :3].std() > .01
  assert '$$' in shown and r'\gamma' in shown


def test_a_layer_without_a_graph_says_so(make_record):
  record = make_record('reference', (.3,) * 3, name='frn_tlu')
  layer = Layer(record, [record])
  assert layer.graph is None and layer.equation == 'frn_tlu' and r'\text{frn\_tlu}' in layer._repr_html_()
  for method in (layer.draw, layer.to_json):
    with pytest.raises(ArgumentError, match='has no layer graph'):
      method()
