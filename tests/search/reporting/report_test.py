"""The ranking, its table, and the files of the report."""

import dataclasses
import io

import pytest
from rich.console import Console

from evonorm_tf.graph.layer_graph import LayerGraph
from evonorm_tf.graph.layer_graph import Node
from search.graphs.known_graphs import known_graph
from search.reporting import ranked_layers
from search.reporting import report

WITH_DEAD_NODE = LayerGraph((Node('exp', (0,)), Node('max', (0, 1))))


@pytest.fixture
def records(make_record):
  """Four candidates and three references: candidate 3 and the last reference fail in the re-ranking."""
  scores = {0: .3, 1: .4, 2: .35, 3: .6}
  graphs = {0: known_graph('evonorm_b0'), 1: WITH_DEAD_NODE}
  seconds = {'build': 1., 'trace': 2., 'train': 1.}
  return [
      *(make_record('reference', (.3,) * 3, name=name, elapsed=10.) for name in ('bn_relu', 'frn_tlu', 'evonorm_s0')),
      *(make_record(index=i, scores=(s,) * 3, graph=graphs.get(i), seconds=seconds) for i, s in scores.items()),
      make_record(index=4, outcome='rejected: quality', detail='resnet: accuracy 0.11 | 100 steps', filtered={'a': 2},
                  seconds=seconds | {'total': 8.}),
      make_record(index=5, outcome='rejected: quality', detail='resnet: accuracy 0.12 | 100 steps'),
      make_record(index=6, outcome='failed', detail='mobilenet_v2: loss is not finite', filtered={'b': 1}),
      make_record('reranking', (.61, .62, .63), index=0, graph=graphs[0], test_scores=(.9, .9, .9)),
      make_record('reranking', (.71, .72, .73), index=1, graph=graphs[1], test_scores=(.5, .625, .75)),
      make_record('reranking', (.51, .52, .53), index=2, test_scores=(.4, .4, .4)),
      make_record('reranking', index=3, detail='resnet: loss is not finite'),
      make_record('reranking', (.66, .66, .66), name='bn_relu', test_scores=(.7, .7, .7)),
      make_record('reranking', (.1, .1, .1), name='frn_tlu', test_scores=(.1, .1, .1)),
      make_record('reranking', name='evonorm_s0', detail='resnet: killed', elapsed=3725.)]


@pytest.fixture
def undrawn(monkeypatch):
  """Leaves out the pictures beside the text."""
  for name in ('save_figure', 'draw_layer', 'progress_plot', 'pareto_scatter'):
    monkeypatch.setattr(report, name, lambda *_: None)


def names(entries):
  return [entry.index if entry.stage == 'evolution' else entry.name for entry in entries]


def rendered(table, width):
  console = Console(file=io.StringIO(), width=width)
  console.print(table)
  return console.file.getvalue()


def test_ranking_follows_validation_and_ends_with_failures(records):
  assert names(ranked_layers.ranking(records)) == [
      'candidate 1', 'bn_relu', 'candidate 0', 'candidate 2', 'frn_tlu', 'candidate 3', 'evonorm_s0']
  assert names(ranked_layers.found_layers(records, 2)) == ['candidate 1', 'candidate 0']


def test_without_reranking_the_search_ranks(records):
  searched = [r for r in records if r.stage != 'reranking']
  assert names(ranked_layers.ranking(searched)) == [3, 1, 2, 'bn_relu', 'frn_tlu', 'evonorm_s0', 0]
  assert 'Not re-ranked' in ranked_layers.final_table(searched).caption


@pytest.mark.usefixtures('drawn_figures')
def test_without_scores_in_several_networks_there_is_no_picture_of_a_frontier(make_record, tmp_path):
  text = report.write_report([make_record(index=0, scores=(.5,))], tmp_path).read_text()
  assert 'pareto' not in text and not (tmp_path / 'report' / 'pareto.png').exists()
  assert '| layer | origin | search |' in text and '| candidate 0 | found | 50.0 |' in text


@pytest.mark.usefixtures('undrawn')
def test_copies_and_projected_scores_are_not_ranked(records, make_record, stopped, tmp_path):
  searched = [r for r in records if r.stage != 'reranking']
  searched += [make_record(index=7, scores=(.6,) * 3, same_as=3), make_record(index=8, scores=(.9,) * 3, rungs=stopped)]
  assert names(ranked_layers.found_layers(searched)) == [3, 1, 2]
  text = report.write_report(searched, tmp_path).read_text()
  for part in ('8 candidates evaluated, 5 accepted', 'whose outcome they took: 1', 'rung of successive halving: 1;',
               '| accepted | 5 | 62.5% |', '3 draws were rejected without evaluation, 25.0% of all.'):
    assert part in text, part


@pytest.fixture
def repeated(records, make_record):
  """The same search with three seeds: a candidate and a reference that are near to each other, and one that fails."""
  searched = [r for r in records if r.stage != 'reranking']
  means = {(0, 'candidate 0'): (.60, .62, .64), (1, 'candidate 1'): (.50, .52, .54), (None, 'bn_relu'): (.61, .61, .61)}
  return searched + [
      make_record('reranking', (m - .1, m, m + .1), index=index, name=name if index is None else None, seed=seed,
                  test_scores=(m, m + .01, m - .01))
      for (index, name), all_means in means.items() for seed, m in enumerate(all_means)] + [
          make_record('reranking', (.9,) * 3, index=2, seed=0, test_scores=(.9,) * 3),
          make_record('reranking', index=2, seed=1, detail='resnet: loss is not finite')]


def test_seeds_are_averaged_and_what_fails_once_has_failed(repeated):
  ranked = ranked_layers.ranking(repeated)
  assert names(ranked) == ['candidate 0', 'bn_relu', 'candidate 1', 'candidate 2']
  assert [round(r.mean_score, 6) for r in ranked[:3]] == [.62, .61, .52]
  assert ranked[0].scores == pytest.approx({'resnet': .52, 'mobilenet_v2': .62, 'efficientnet': .72})
  assert not ranked[3].is_accepted and names(ranked_layers.found_layers(repeated)) == ['candidate 0', 'candidate 1']


@pytest.mark.usefixtures('undrawn')
def test_the_table_has_standard_errors_and_marks_what_is_near_the_first(repeated, tmp_path):
  table = ranked_layers.final_table(repeated, steps=300)
  validation = next(column for column in table.columns if column.header == 'validation')
  # .60, .62, .64 have a standard deviation of .02, and by √3 a standard error of .0115
  assert list(validation.cells) == ['62.0 ± 1.2', '61.0 ± 0.0 ≈', '52.0 ± 1.2', '–']
  assert '3 trainings' in table.caption and '≈ lies within one standard error of the first' in table.caption
  text = report.write_report(repeated, tmp_path).read_text()
  assert '| candidate 0 | found | 30.0 | 62.0 ± 1.2 | 62.0 | 62.0 | 63.0 | 61.0 |' in text and '61.0 ± 0.0 ≈ |' in text
  assert '- Re-ranking: 3 candidates and 1 references, 3 seeds' in text


def test_table_cells(records):
  table = ranked_layers.final_table(records, found=2, test_images=10_000, steps=5000)
  cells = list(zip(*([str(cell) for cell in column.cells] for column in table.columns)))
  assert [column.header for column in table.columns] == ['layer', 'search', 'validation', 'test']
  assert cells[0] == ('candidate 1 (found)\ny = max(x, 0) · γ + β\nThis is ReLU (Nair & Hinton 2010).',
                      '40.0', '72.0', '62.5')
  assert cells[1][0] == ('bn_relu (reference)\ny = max(v1·(x − μ[b,w,h](x)) / s[b,w,h](x) + v0, 0) · γ + β')
  assert cells[3] == ('frn_tlu (reference)', '30.0', '10.0', '10.0')
  assert cells[4] == (
      'candidate 3 (found)\ny = x·σ(v1·x) / s[w,h,c/g](x) · γ + β\nThis is EvoNorm-S0 (Liu et al. 2020, arXiv '
      '2004.02967).\nfailed: resnet: loss is not finite', '60.0', '–', '–')
  assert [c[0].split(' (')[0] for c in cells] == [
      'candidate 1', 'bn_relu', 'candidate 0', 'frn_tlu', 'candidate 3', 'evonorm_s0']  # candidate 2 is the third
  assert '10,000 images' in table.caption and '5,000 steps' in table.caption


def test_table_fits_a_terminal(records):
  text = rendered(ranked_layers.final_table(records), width=80)
  assert all(word in text for word in ('search', 'validation', '72.0', '[b,w,h]', 'finite', 'found', 'y = max(x, 0)'))
  assert rendered(ranked_layers.final_table([]), width=80)


@pytest.mark.usefixtures('drawn_figures')
def test_files_of_the_report(records, tmp_path, monkeypatch):
  path = report.write_report(records, tmp_path, found=2)
  assert path == tmp_path / 'report' / 'report.md'
  shown = {'progress.png', 'pareto.png', 'layer_1.json', 'layer_1.png', 'layer_2.json', 'layer_2.png'}
  drawn = {name.replace('.png', '.svg') for name in shown if name.endswith('.png')}
  files = shown | drawn | {'report.md', 'index.html'}
  assert {p.name for p in path.parent.iterdir()} == files
  assert LayerGraph.load(path.parent / 'layer_1.json') == WITH_DEAD_NODE.without_dead_nodes()
  assert LayerGraph.load(path.parent / 'layer_2.json') == known_graph('evonorm_b0')
  text = path.read_text()
  assert all(f'({name})' in text for name in shown)
  monkeypatch.setattr(report, 'save_figure', lambda *_: None)
  report.write_report(records, tmp_path, found=1)
  assert {p.name for p in path.parent.iterdir()} == files - {'layer_2.json', 'layer_2.png', 'layer_2.svg'}


@pytest.mark.slow
@pytest.mark.usefixtures('drawn_figures')
def test_a_second_report_is_the_first(records, tmp_path):
  folder = report.write_report(records, tmp_path, found=2).parent
  contents = {p.name: p.read_bytes() for p in folder.iterdir()}
  report.write_report(records, tmp_path, found=2)
  assert {p.name: p.read_bytes() for p in folder.iterdir()} == contents


@pytest.mark.usefixtures('undrawn')
def test_text_of_the_report(records, tmp_path):
  text = report.write_report(records, tmp_path, test_images=300, steps=20).read_text()
  for part in (
      '7 candidates evaluated, 4 accepted', '4 candidates and 3 references', '1:02:05', '300 images',
      '| candidate 1 | found | 40.0 | 72.0 | 62.5 | 50.0 | 62.5 | 75.0 |',
      '- candidate 3: failed: resnet: loss is not finite',
      '```text\ny = max(x, 0) · γ + β\n```', r'```math' + '\n' + r'y = \max(x, 0) \cdot \gamma + \beta',
      'No layer graphs: frn_tlu.', '3 draws were rejected without evaluation, 30.0% of all.', '| a | 2 |',
      '| accepted | 4 | 57.1% | 4.0 | 50.0% |', '| rejected: quality | 2 | 28.6% | 8.0 | 25.0% |',
      '| failed | 1 | 14.3% | – | – |',
      r'| rejected: quality | 2 | resnet: accuracy 0.11 \| 100 steps |'):
    assert part in text, part
  assert 'outcome they took' not in text and 'halving' not in text
  assert text.index('| rejected: quality | 2 | resnet') < text.index('| failed | 1 | mobilenet_v2')


@pytest.mark.usefixtures('undrawn')
def test_costs_of_the_found_layers_and_the_references(records, tmp_path):
  text = report.write_report(records, tmp_path).read_text()
  assert 'training step takes' not in text and 'Costs' not in text
  costs = {'bn_relu': {'step_time': 1., 'kept': 2.}, 1: {'step_time': 1.306, 'kept': 1.01},
           0: {'step_time': 2.5, 'kept': None}, 3: {'step_time': 7., 'kept': 7.}}
  cost_of = lambda r: costs.get(r.name if r.index is None else r.index)
  dear = [r if r.stage == 'reranking' else dataclasses.replace(r, cost=cost_of(r)) for r in records]
  text = report.write_report(dear, tmp_path).read_text()
  first, second = ("A training step takes 1.31 times BN-ReLU's; the layer keeps 1.01 times x for the backward "
                   "pass.", "A training step takes 2.50 times BN-ReLU's; the layer keeps – times x")
  assert text.index('### 1. Candidate 1') < text.index(first) < text.index('### 2. Candidate 0') < text.index(second)
  assert text.count('training step takes') == 2  # candidate 2 has none, candidate 3 is not among the found
  assert 'kept in the same units: bn_relu 1.00 and 2.00.' in text


@pytest.mark.usefixtures('undrawn')
def test_found_layers_are_shown_modulo_affine_and_by_name(make_record, tmp_path):
  shifted_tanh = Node('mul', (0, 3)), Node('add', (4, 2)), Node('tanh', (5,))
  graphs = [LayerGraph((*shifted_tanh, Node('mul', (6, 3)), Node('add', (7, 3)))),  # v1·tanh(v1·x + v0) + v1
            LayerGraph((Node('square', (2,)), Node('add', (0, 4)), Node('tanh', (5,)), Node('add', (6, 0)))),
            LayerGraph(shifted_tanh)]
  records = [make_record(index=i, scores=(.6 - .1 * i,) * 3, graph=graph) for i, graph in enumerate(graphs)]
  sections = report.write_report(records, tmp_path).read_text().split('\n\n')
  first, second, third, end = (sections.index(h) for h in (
      '### 1. Candidate 0', '### 2. Candidate 1', '### 3. Candidate 2', '## References'))
  assert sections[first + 1:second - 2] == [
      '```text\ny = tanh(v1·x + v0) · γ + β\n```',
      '```math\n' r'y = \tanh(v_{1} \, x + v_{0}) \cdot \gamma + \beta' '\n```',
      'This is Dynamic Tanh with a shift (Zhu et al. 2025, arXiv 2503.10622), up to γ and β.', 'As drawn:',
      '```text\ny = v1·(tanh(v1·x + v0) + 1) · γ + β\n```',
      '```math\n' r'y = v_{1} \, (\tanh(v_{1} \, x + v_{0}) + 1) \cdot \gamma + \beta' '\n```']
  assert sections[second + 1] == '```text\ny = (x + tanh(x)) · γ + β\n```'
  assert sections[second + 3:second + 5] == ['As drawn:', '```text\ny = (x + tanh(x + v0²)) · γ + β\n```']
  assert 'As drawn:' not in sections[third:end]
  assert 'This is Dynamic Tanh with a shift (Zhu et al. 2025, arXiv 2503.10622).' in sections[third:end]


def test_reasons_are_the_five_most_frequent(make_record):
  details = [f'{kind}: loss {i}' for kind in 'abcdef' for i in range(2 + (kind == 'e'))]
  details += ['mobilenet_v2', 'mobilenet_v3', 'mobilenet_v4', 'mobilenet_v5']  # no numbers, so four reasons
  reasons = report._reasons([make_record(detail=d) for d in details])
  assert reasons == [('failed', 3, 'e: loss 0')] + [('failed', 2, f'{kind}: loss 0') for kind in 'abcd']


def test_report_of_no_records(tmp_path):
  path = report.write_report([], tmp_path / 'new')
  assert '0 candidates evaluated' in path.read_text()
  assert {p.name for p in path.parent.iterdir()} == {'report.md', 'index.html', 'progress.png', 'progress.svg'}
