"""Plots by what their figures hold. Nobody but a person sees whether they are beautiful."""

import math

from matplotlib import _pylab_helpers
import numpy as np
import pytest

from search.reporting import plots

pytestmark = pytest.mark.usefixtures('drawn_figures')


def line(axes, label):
  """The y of the line with this label."""
  return next(x for x in axes.lines if x.get_label() == label).get_ydata()


def dots(axes, label):
  """The points of the scatter with this label."""
  return next(c for c in axes.collections if c.get_label() == label).get_offsets().tolist()


def test_curves_against_hand_worked_numbers(make_record):
  scores = [None, .2, .4] + [.5] * 8 + [.3, None, .6]
  records = [make_record('reference', (.9, .9), name='bn_relu')]
  records += [make_record(scores=() if s is None else (s - .1, s + .1)) for s in scores]
  axes = plots.progress_plot(records).axes[0]
  best = [math.nan, .2, .4] + [.5] * 10 + [.6]
  # From the tenth on: .2 + .4 + 8 · .5 = 4.6; then .3 takes the place of .2, and .6 that of .3.
  top = [math.nan] * 10 + [.46, .47, .47, .5]
  np.testing.assert_allclose(line(axes, plots.BEST_LABEL), best)
  np.testing.assert_allclose(line(axes, plots.TOP_LABEL), top)
  np.testing.assert_allclose(line(axes, plots.ACCEPTED_LABEL), [s for s in scores if s])


def test_references_are_labelled_lines_that_do_not_overlap(make_record):
  names = ('bn_relu', 'evonorm_s0', 'gn_relu')
  records = [make_record('reference', (s, s + .1), name=n) for n, s in zip(names, (.401, .402, .2))]
  records.append(make_record('reference', name='frn_tlu'))  # failed
  figure = plots.progress_plot(records + [make_record(scores=(.3, .3))])
  axes = figure.axes[0]
  heights = sorted(x.get_ydata()[0] for x in axes.lines if len(set(x.get_ydata())) == 1 and x.get_linestyle() == '--')
  np.testing.assert_allclose(heights, [.25, .451, .452])
  assert [t.get_text() for t in axes.texts] == ['gn_relu 25.0%', 'bn_relu 45.1%', 'evonorm_s0 45.2%']
  figure.canvas.draw()
  boxes = [t.get_window_extent() for t in axes.texts]
  assert all(low.y1 <= high.y0 for low, high in zip(boxes, boxes[1:]))
  assert all(b.x1 <= figure.bbox.x1 for b in boxes)


def test_spread_moves_labels_as_little_as_possible():
  np.testing.assert_allclose(plots._spread([0, 0, 10], gap=1), [-.5, .5, 10])
  np.testing.assert_allclose(plots._spread([0, 1.5, 1.5], gap=1), [0, 1, 2])
  assert plots._spread([], gap=1) == []


def test_outcomes_are_stacked_counts(make_record):
  outcomes = ['failed', 'rejected: quality', 'accepted', 'rejected: quality']
  records = [make_record(scores=(.3,) if o == 'accepted' else (), outcome=o) for o in outcomes]
  axes = plots.progress_plot(records).axes[1]
  assert [text.get_text() for text in axes.get_legend().get_texts()] == [
      'accepted (1)', 'rejected: quality (2)', 'rejected: stability (0)', 'failed (1)']
  tops = [max(y for _, y in area.get_paths()[0].vertices) for area in axes.collections]
  assert tops == [1, 3, 3, 4]


def test_pareto_frontier_is_that_of_all_architectures(make_record):
  scores = [(.5, .2, .2), (.2, .5, .2), (.4, .4, .1), (.4, .4, .4), (.3, .3, .3)]  # 2 and 4 are dominated by 3
  records = [make_record('reference', (.6, .1, .1), name='bn_relu')]
  records += [make_record(index=i, scores=s) for i, s in enumerate(scores)]
  figure = plots.pareto_scatter(records)
  assert figure.get_suptitle().startswith('3 of 5 ')
  for panel, (a, b) in enumerate([(0, 1), (0, 2), (1, 2)]):
    assert dots(figure.axes[panel], plots.ACCEPTED_LABEL) == [[s[a], s[b]] for s in scores]
    assert dots(figure.axes[panel], plots.FRONTIER_LABEL) == [[scores[i][a], scores[i][b]] for i in (0, 1, 3)]
    assert dots(figure.axes[panel], 'bn_relu') == [[(.6, .1, .1)[a], (.6, .1, .1)[b]]]


def test_copies_are_no_steps_and_projected_scores_no_dots(make_record, stopped):
  records = [make_record(index=0, scores=(.2, .4)), make_record(index=1, scores=(.2, .4), same_as=0),
             make_record(index=2, scores=(.9, .9), rungs=stopped), make_record(index=3),
             make_record(index=4, same_as=3), make_record(index=5, scores=(.5, .3))]
  figure = plots.progress_plot(records)
  upper, lower = figure.axes
  np.testing.assert_allclose(line(upper, plots.ACCEPTED_LABEL), [.3, .4])
  np.testing.assert_allclose(line(upper, plots.BEST_LABEL), [.3, .3, .3, .4])
  assert plots.TOP_LABEL not in [x.get_label() for x in upper.lines]  # there are fewer than ten
  assert [text.get_text() for text in lower.get_legend().get_texts()] == [
      'accepted (3, 1 stopped at a rung)', 'rejected: quality (0)', 'rejected: stability (0)', 'failed (1)']
  assert lower.get_xlim() == (0, 4)
  pareto = plots.pareto_scatter(records)
  assert dots(pareto.axes[0], plots.ACCEPTED_LABEL) == [[.2, .4], [.5, .3]]
  assert pareto.get_suptitle() == (
      '2 of 2 accepted candidates on the Pareto frontier; 1 that stopped at a rung are left out')


def test_outliers_stand_at_the_edge(make_record):
  scores = [(.5 + .01 * i, .6 + .01 * i) for i in range(10)] + [(.55, .05), (.06, .65)]  # each far off in one
  records = [make_record('reference', (.3, .62), name='bn_relu')]
  records += [make_record(index=i, scores=s) for i, s in enumerate(scores)]
  axes = plots.pareto_scatter(records).axes[0]
  assert .25 < axes.get_xlim()[0] < .3 and .59 < axes.get_ylim()[0] < .6  # the reference is kept
  outside = {x.get_marker(): x.get_xydata().tolist() for x in axes.lines if 'beyond the axes' in x.get_label()}
  assert outside == {'v': [[.55, axes.get_ylim()[0]]], '<': [[axes.get_xlim()[0], .65]]}
  assert [x.get_label() for x in axes.lines if 'beyond' in x.get_label()] == ['beyond the axes (2)',
                                                                              '_beyond the axes (2)']
  progress = plots.progress_plot([make_record(index=i, scores=(s,)) for i, s in enumerate([.5, .51] * 5 + [.02])])
  assert progress.axes[0].get_ylim()[0] > .49 and 'beyond the axes (1)' in [
      text.get_text() for text in progress.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize('stages, scores, panels', [
    ([], (), 1), (['evolution'], (), 1), (['reference'], (.3, .4, .5), 3), (['evolution'], (.3,), 1),
    (['reference', 'evolution'], (.3, .4), 1)])
def test_any_records_can_be_drawn(make_record, stages, scores, panels):
  records = [make_record(stage, scores, name='bn_relu' if stage == 'reference' else None) for stage in stages]
  progress, pareto = plots.progress_plot(records), plots.pareto_scatter(records)
  for figure in (progress, pareto):
    figure.canvas.draw()
  is_accepted = bool(scores) and 'evolution' in stages
  assert any('no candidate has been accepted' in text.get_text() for text in pareto.axes[0].texts) != is_accepted
  assert len(progress.axes) == 1 + bool(scores)  # no panel for scores without any
  assert len(pareto.axes) == panels + is_accepted  # the colour bar
  assert not _pylab_helpers.Gcf.get_all_fig_managers()
