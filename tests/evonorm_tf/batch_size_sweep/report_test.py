"""The report against numbers worked out by hand."""

import csv
import io

from matplotlib.container import ErrorbarContainer
from matplotlib.image import imread
import numpy as np
import pytest

from evonorm_tf.batch_size_sweep import report as sweep_report
from evonorm_tf.batch_size_sweep.runs import DONE
from evonorm_tf.batch_size_sweep.runs import FAILED
from evonorm_tf.batch_size_sweep.runs import make_runs
from evonorm_tf.batch_size_sweep.runs import Result
from tests.evonorm_tf.fake_training import grid

pytestmark = pytest.mark.usefixtures('drawn_figures')

RUNS = grid(batch_sizes=(4, 32), seeds=(0, 1, 2))


def done(accuracy):
  return Result(DONE, {'accuracy': accuracy, 'validation_loss': .5, 'seconds': 60.})


@pytest.fixture
def results():
  """bn_relu: .70 .72 .74 with 32, all failed with 4. evonorm_s0: .70 .73 and a failure with 32, .6 and two to come."""
  accuracies = {('bn_relu', 32): (.70, .72, .74), ('evonorm_s0', 32): (.70, .73, None), ('bn_relu', 4): (None,) * 3}
  results = {}
  for run in RUNS:
    if (run.norm_act, run.batch_size) == ('evonorm_s0', 4):
      results[run] = Result() if run.seed else done(.6)
    else:
      accuracy = accuracies[run.norm_act, run.batch_size][run.seed]
      failure = Result(FAILED, {'seconds': 1.}, 'ValueError: a | b\nis nan', 'Traceback')
      results[run] = failure if accuracy is None else done(accuracy)
  return results


def test_table(results):
  # The variance of .70 .72 .74 is (.02² + 0 + .02²) / 2 = .02²; that of .70 .73 is 2 · .015² / 1 = .0212².
  assert sweep_report.accuracy_table(RUNS, results) == (
      '| norm-act | 32 | 4 |\n| --- | --- | --- |\n| bn_relu | 72.00 ± 2.00 (n=3) | 3 failed |\n'
      '| evonorm_s0 | 71.50 ± 2.12 (n=2, 1 failed) | 60.00 (n=1) |')


def test_table_tells_no_count_where_all_have_the_same():
  runs = grid(batch_sizes=(4,))
  accuracies = iter((.5, .25, .75, .25))
  results = {run: done(next(accuracies)) for run in runs}
  assert sweep_report.accuracy_table(runs, results).splitlines()[2:] == [
      '| bn_relu | 62.50 ± 17.68 |', '| evonorm_s0 | 25.00 ± 0.00 |']
  table = sweep_report.accuracy_table(runs, dict.fromkeys(runs, Result()))
  assert table.splitlines()[2:] == ['| bn_relu | – |', '| evonorm_s0 | – |']


def test_csv_has_a_row_a_run(results, tmp_path):
  sweep_report.write_report(tmp_path, RUNS, results)
  rows = list(csv.DictReader(io.StringIO((tmp_path / 'results.csv').read_text())))
  assert [(r['norm_act'], int(r['batch_size']), int(r['seed'])) for r in rows] == [
      (r.norm_act, r.batch_size, r.seed) for r in RUNS]
  assert rows[0] == dict(norm_act='bn_relu', batch_size='4', seed='0', accuracy='', top_5_accuracy='',
                         validation_loss='', seconds='1.0', status='failed', message='ValueError: a | b is nan')
  assert rows[2] == dict(norm_act='bn_relu', batch_size='32', seed='0', accuracy='0.7', top_5_accuracy='',
                         validation_loss='0.5', seconds='60.0', status='done', message='')
  assert [r['status'] for r in rows].count('pending') == 2


def test_page(results, tmp_path):
  sweep_report.write_report(tmp_path, RUNS, results)
  page = (tmp_path / 'results.md').read_text()
  assert '6 of 12 runs are done, 4 failed, 2 are to come.' in page
  assert 'mean ± sample standard deviation of 3 seeds' in page
  assert sweep_report.accuracy_table(RUNS, results) in page and '](accuracy_by_batch_size.png)' in page
  assert '- evonorm_s0, batch 32, seed 2: ValueError: a \\| b is nan\n' in page and 'Layer graphs' not in page
  assert imread(tmp_path / 'accuracy_by_batch_size.png').shape[1] > 800


def test_page_tells_what_labels_stand_for(tmp_path):
  runs = make_runs({'bn_relu': 'bn_relu', 'layer_1': 'runs/report/layer_1.json'}, (4,), (0,))
  sweep_report.write_report(tmp_path, runs, {run: done(.5) for run in runs})
  page = (tmp_path / 'results.md').read_text()
  assert page.endswith('## Layer graphs\n\n- layer_1: `runs/report/layer_1.json`\n')
  assert 'Failed' not in page and 'Accuracy in %, one seed, by batch size:' in page


def bars(axes):
  """Label -> rows of batch size (the nearest tick), mean and deviation."""
  plotted = {}
  for curve in (c for c in axes.containers if isinstance(c, ErrorbarContainer)):
    x, y = curve.lines[0].get_data(orig=False)
    heights = [segment[1, 1] - segment[0, 1] for segment in curve.lines[2][0].get_segments()]
    plotted[curve.get_label()] = np.stack([np.exp2(np.round(np.log2(x))), y, np.array(heights) / 2], axis=1)
  return plotted


def test_plot_shows_the_paper_s_axes_and_the_table_s_numbers(results):
  figure = sweep_report.accuracy_plot(RUNS, results)
  axes = figure.axes[0]
  left, right = axes.get_xlim()
  assert axes.get_xscale() == 'log' and left > 32 > 4 > right  # large batches at the left
  assert [t.get_text() for t in axes.get_xticklabels()] == ['32', '4']
  plotted = bars(axes)
  np.testing.assert_allclose(plotted['bn_relu'], [[32, .72, .02]])
  np.testing.assert_allclose(plotted['evonorm_s0'], [[32, .715, .03 / 2 ** .5], [4, .6, 0]])
  crosses = [line for line in axes.lines if line.get_marker() == 'x' and len(line.get_xdata())]
  assert len(crosses) == 1 and crosses[0].get_xdata() == pytest.approx(4, rel=.02)
  labels = [text.get_text() for text in figure.legends[0].get_texts()]
  assert labels == ['bn_relu', 'evonorm_s0', 'every run failed']  # .72 at the end of its curve, .6


def test_legend_lies_beside_the_curves(results):
  figure = sweep_report.accuracy_plot(RUNS, results)
  figure.canvas.draw()
  legend = figure.legends[0].get_window_extent()
  assert legend.x0 >= figure.axes[0].get_window_extent().x1 and legend.x1 <= figure.bbox.x1


def test_many_curves_differ_in_their_look():
  names = [f'layer_{i}' for i in range(16)]
  runs = grid(names, (8, 4), (0,))
  figure = sweep_report.accuracy_plot(runs, {run: done(.5) for run in runs})
  looks = {(c.lines[0].get_color(), c.lines[0].get_linestyle()) for c in figure.axes[0].containers}
  assert len(looks) == 16
  x = np.concatenate([c.lines[0].get_xdata(orig=False) for c in figure.axes[0].containers])
  assert np.abs(np.log2(x / np.where(x > 6, 8, 4))).max() < .16  # beside the right tick


@pytest.mark.parametrize('result', [Result(), Result(FAILED, {'seconds': 1.}, 'x'), done(.5)])
def test_any_results_can_be_drawn(result):
  runs = grid(('bn_relu',), (8,), (0,))
  figure = sweep_report.accuracy_plot(runs, dict.fromkeys(runs, result))
  figure.canvas.draw()
  assert any('no run is done yet' in t.get_text() for t in figure.axes[0].texts) == (result.status != DONE)
