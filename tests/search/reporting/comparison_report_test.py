"""The comparison of searches: its files, its plots by what they hold, TensorBoard, and what it refuses."""

import itertools
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
import tensorflow as tf

from evonorm_tf.output.model_dir import ModelDirError
from search.journal import records as records_lib
from search.journal.journal import Journal
from search.journal.saved_search import load_search
from search.reporting import ancestry_plot
from search.reporting import comparison
from search.reporting import comparison_plots
from search.reporting import comparison_report
from search.reporting.comparison_report import compare_searches
from search.selection.proposal import RandomSearch
from search.selection.proposal import SEEN_BEFORE
from tests.blank_figures import drawn_figures
from tests.search import fake_search

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope='module', autouse=True)
def few_chance_graphs():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(comparison_report.comparison.chance_graphs, '__defaults__', (20,))
    yield


@pytest.fixture(scope='module')
def searches(tmp_path_factory):
  """The folders of two small searches."""
  folder = tmp_path_factory.mktemp('searches')
  fake_search.search(folder / 'evolved', candidates=20)
  fake_search.search(folder / 'random', strategy=RandomSearch())
  return [str(folder / name) for name in ('evolved', 'random')]


@pytest.fixture(scope='module')
def compared(searches, tmp_path_factory):
  """The path of the report."""
  with drawn_figures():
    return compare_searches(searches, str(tmp_path_factory.mktemp('compared')))


def test_files(compared):
  path, text = compared, compared.read_text()
  assert '| selection | Pareto | random |' in text and '| candidates evaluated | 20 | 12 |' in text
  assert '| core-seconds |' in text and '`strategy.class` | TournamentEvolution | RandomSearch |' in text
  assert 'node ' in text and '→' in text  # a mutation in the ancestry
  pictures = {p.name for p in path.parent.glob('*.png')}
  assert {p.stem for p in path.parent.glob('*.svg')} == {p.stem for p in path.parent.glob('*.png')}
  assert pictures == {f'{n}.png' for n in (
      'efficiency', 'rejections', 'correlation', 'primitives', 'ancestry_1', 'ancestry_2')}
  assert all(f']({name})' in text for name in pictures)


@pytest.mark.slow
@pytest.mark.usefixtures('drawn_figures')
def test_a_second_comparison_replaces_the_first(searches, compared):
  before = {path.name: path.read_bytes() for path in compared.parent.iterdir() if path.is_file()}
  assert compare_searches(searches, str(compared.parent)) == compared
  assert {path.name: path.read_bytes() for path in compared.parent.iterdir() if path.is_file()} == before


def test_tensorboard(searches, compared):
  folder = compared.parent / 'tensorboard'
  read = lambda run: EventAccumulator(str(folder / run), size_guidance={'tensors': 0}).Reload()
  events = read('comparison')
  assert {'efficiency', 'rejections', 'correlation', 'primitives', 'ancestry_1', 'report/ancestry',
          'report/searches'} <= set(events.Tags()['tensors'])
  width, height, png = tf.make_ndarray(events.Tensors('efficiency')[0].tensor_proto)[:3]
  assert tf.image.decode_png(png).shape[:2] == (int(height), int(width)) and len(events.Tensors('efficiency')) == 1
  curve = read('evolved').Tensors('top_10_mean/by_candidates')
  assert curve
  top = comparison_plots.curves(records_lib.evaluated(load_search(searches[0]).records))[1]
  assert [float(tf.make_ndarray(e.tensor_proto)) for e in curve] == pytest.approx([top[e.step - 1] for e in curve])


def test_the_default_folder_is_in_the_first_search(searches):
  assert compare_searches(searches[:1]) == pathlib.Path(searches[0]) / 'analysis' / 'report.md'


@pytest.mark.usefixtures('drawn_figures')
def test_a_search_without_accepted_candidates_is_drawn(tmp_path, make_record):
  with Journal(tmp_path / 'journal.jsonl', {}) as journal:
    journal.append(make_record(index=0, filtered={'constant': 2}))
  text = compare_searches([tmp_path]).read_text()
  assert 'No candidate has been accepted yet.' in text and '| filter: constant | 2 |' in text
  assert 'No search has 10 accepted candidates yet.' in text and 'Nothing has been re-ranked yet.' in text
  assert [p.name for p in (tmp_path / 'analysis').glob('*.png')] == ['rejections.png']  # nothing empty


def test_copies_and_projected_scores(tmp_path, make_record, stopped):
  records = [
      make_record(index=0, scores=(.2,) * 3, filtered={SEEN_BEFORE: 2}, seconds={'total': 3.}),
      make_record(index=1, scores=(.2,) * 3, same_as=0),
      make_record(index=2, seconds={'total': 1.}), make_record(index=3, same_as=2),
      make_record(index=4, scores=(.9,) * 3, parent=0, rungs=stopped, seconds={'total': 3.}, filtered={'constant': 1}),
      make_record(index=5, scores=(.4,) * 3, parent=4, seconds={'total': 5.})]
  with Journal(tmp_path / 'journal.jsonl', {}) as journal:
    for record in records:
      journal.append(record)
  text = compare_searches([tmp_path]).read_text()
  for row in ('candidates evaluated | 4', 'accepted | 3', 'of these stopped at a rung | 1', 'core-seconds | 12',
              'evaluations saved | 4', 'core-seconds so saved | 12', 'mean of the 10 best | –',
              'best | candidate 5, 40.0%', f'{comparison.COPIED} | 2', f'filter: {SEEN_BEFORE} | 2'):
    assert f'| {row} |' in text, row
  assert '| candidate 4 | nothing | 90.0% (projected) |' in text
  _, by_seconds = comparison_plots.efficiency_plot({'a': records}).axes
  assert by_seconds.lines[0].get_xdata().tolist() == [3., 4., 7., 12.]
  ancestry = ancestry_plot.ancestry_plot(records).axes[0]
  assert {x.get_label(): list(x.get_xdata()) for x in ancestry.lines}[ancestry_plot.PROJECTED] == [4]


def test_ancestors_are_numbered_where_the_score_changed(make_record):
  scores = (.2, .2, .3, .3)
  records = [make_record(index=i, scores=(s,) * 3, parent=i - 1 if i else None) for i, s in enumerate(scores)]
  records.append(make_record(index=4, scores=(.35,) * 3, parent=3))
  axes = ancestry_plot.ancestry_plot(records).axes[0]
  assert sorted(text.get_text() for text in axes.texts) == ['0', '2 (+10.0)', '4 (+5.0)']


@pytest.mark.usefixtures('drawn_figures')
def test_labels_of_ancestors_cover_neither_points_nor_each_other(make_record):
  records = [make_record(index=0, scores=(.2,))]
  records += [make_record(index=i, scores=(.2 + .01 * i,), parent=i - 1) for i in range(1, 13)]
  records += [make_record(index=i, scores=(.2 + .009 * (i % 13),), parent=i - 13) for i in range(13, 25)]  # others
  figure = ancestry_plot.ancestry_plot(records)
  figure.canvas.draw()
  axes = figure.axes[0]
  boxes = [text.get_window_extent() for text in axes.texts]
  points = axes.transData.transform([(r.index, r.mean_score) for r in records])
  assert len(boxes) == 13 and not any(box.contains(*point) for box in boxes for point in points)
  assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
  assert all(axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1) for box in boxes)


def test_a_reference_has_one_marker_in_all_panels_and_is_never_beyond_them(make_record):
  def search(names):
    records = [make_record('reference', (.2 + .05 * len(name),), name=name) for name in names]
    records += [make_record('reranking', (.2 + .05 * len(name),), name=name) for name in names]
    for index in range(10):  # far from the references
      records += [make_record(index=index, scores=(.2 + .001 * index,)),
                  make_record('reranking', (.2 + .001 * index,), index=index)]
    return records

  orders = ['gn_relu', 'evonorm_s0'], ['evonorm_s0', 'gn_relu']
  figure = comparison_plots.correlation_plot({str(order): search(order) for order in orders})
  markers = [{line.get_label(): line.get_marker() for line in axes.lines} for axes in figure.axes]
  assert markers[0] == markers[1] and len(set(markers[0].values())) == 3  # and the candidates
  for axes in figure.axes:
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert all(left <= x <= right and low <= y <= high for line in axes.lines for x, y in line.get_xydata())


def test_an_outlier_among_the_children_counts_once(make_record):
  records = [make_record(index=0, scores=(.5,))]
  records += [make_record(index=i, scores=(.5 + .01 * i if i < 10 else .01,), parent=0) for i in range(1, 11)]
  axes = ancestry_plot.ancestry_plot(records).axes[0]
  assert axes.get_ylim()[0] > .4 and 'beyond the axes (1)' in [line.get_label() for line in axes.lines]


def test_searches_without_copies_tell_that_nothing_was_saved(tmp_path, make_record):
  with Journal(tmp_path / 'journal.jsonl', {}) as journal:
    journal.append(make_record(index=0, scores=(.2,)))
  text = compare_searches([tmp_path]).read_text()
  assert '| evaluations saved | 0 |' in text and '| core-seconds so saved | – |' in text
  assert 'rung |' not in text and comparison.COPIED not in text and '(projected)' not in text


def test_refusals_write_nothing(searches, tmp_path):
  Journal(tmp_path / 'begun' / 'journal.jsonl', {}).close()
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'half').mkdir()
  whole = (pathlib.Path(searches[0]) / 'journal.jsonl').read_bytes()
  (tmp_path / 'half' / 'journal.jsonl').write_bytes(whole[:2000] + whole[2100:])
  for name, message in (('begun', 'has evaluated no candidate yet'), ('empty', 'holds no journal.jsonl'),
                        ('nowhere', 'is no folder'), ('half', r'journal.jsonl, (line|record) \d+: ')):
    with pytest.raises(ModelDirError, match=message):
      compare_searches([searches[0], str(tmp_path / name)], str(tmp_path / 'out'))
  with pytest.raises(ValueError, match='must be different folders'):
    compare_searches([searches[0], f'{searches[0]}/'], str(tmp_path / 'out'))
  with pytest.raises(ValueError, match='at least one folder'):
    compare_searches([])
  with pytest.raises(ValueError, match='`output` must be no folder of a search.*received .*begun'):
    compare_searches(searches, str(tmp_path / 'begun'))
  with pytest.raises(ValueError, match='`output` must be a folder of this machine, received .s3://bucket/x'):
    compare_searches(searches, 's3://bucket/x')
  assert not (tmp_path / 'out').exists()
  (tmp_path / 'file').write_text('')
  with pytest.raises(ValueError, match='`output` must be a folder, received .*file is a file'):
    compare_searches(searches, str(tmp_path / 'file'))


def test_plots_hold_the_numbers(make_record):
  records = [make_record(index=i, scores=(s,) if s else (), parent=p, seconds={'total': 2.}, filtered={'constant': 1})
             for i, (s, p) in enumerate([(.2, None), (.4, 0), (0, 0), (.3, 0)])]
  twelve = [make_record(index=i, scores=(i / 20,), seconds={'total': 2.}) for i in range(12)]
  by_candidates, by_seconds = comparison_plots.efficiency_plot({'a': twelve}).axes
  # 0 to 9, 1 to 10 and 2 to 11, by 20
  np.testing.assert_allclose(by_candidates.lines[0].get_ydata(), [*[np.nan] * 9, .225, .275, .325])
  assert by_seconds.lines[0].get_xdata().tolist() == [2. * i for i in range(1, 13)]
  evaluated, _ = comparison_plots.rejection_plot({'a': records}).axes
  assert [bar.get_width() for bar in evaluated.patches] == [.75, 0, 0, .25]
  ancestry = ancestry_plot.ancestry_plot(records).axes[0]
  lines = {line.get_label(): line.get_xdata() for line in ancestry.lines}
  assert list(lines['ancestors of the best, and itself']) == [0, 1]
  assert list(lines['their other children']) == [3] and list(lines['their children that were not accepted']) == [2]


@pytest.mark.slow
def test_the_binary(searches, tmp_path):
  command = [sys.executable, '-m', 'search.analyze', f'--output={tmp_path / "out"}']
  run = lambda *flags: subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
  done = run(*(f'--model_dir={s}' for s in searches))
  assert done.returncode == 0 and done.stdout == f'Report: {tmp_path / "out" / "report.md"}\n', done.stderr
  wrong = run(f'--model_dir={tmp_path / "nowhere"}')
  assert wrong.returncode == 1 and 'error: ' in wrong.stderr and 'Traceback' not in wrong.stderr
