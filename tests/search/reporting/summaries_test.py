"""Summaries, read back as TensorBoard reads them."""

import dataclasses

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
import tensorflow as tf

from search.reporting.summaries import Summaries


@pytest.fixture
def records(make_record):
  """A reference, then four candidates, the second of which is the best."""
  scores = [(.25, .5), (.5, .75), (), (.25, .25)]
  candidates = [make_record(index=i, scores=s, elapsed=30. * i, filtered={'constant': 3}) for i, s in enumerate(scores)]
  return [make_record('reference', (.5, 1.), name='bn_relu'), *candidates]


def write_all(log_dir, records, start=0, seconds=10., **arguments):
  """Writes the records one by one, every 10 seconds unless said otherwise."""
  now = [0.]
  summaries = Summaries(log_dir, written=start, clock=lambda: now[0], **arguments)
  for count in range(start + 1, len(records) + 1):
    summaries.write(records[:count])
    now[0] += seconds
  summaries.close()


def read(log_dir):
  """Steps and values by tag, in the order of writing."""
  events = EventAccumulator(str(log_dir), size_guidance={'tensors': 0}).Reload()
  return {tag: [(e.step, tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)]
          for tag in events.Tags()['tensors']}


def test_scalars(records, tmp_path):
  write_all(tmp_path, records)
  values = read(tmp_path)
  assert values['reference/bn_relu'] == [(0, .75)]
  assert values['score/best'] == [(1, .375), (2, .625), (3, .625), (4, .625)]
  assert 'score/top_10_mean' not in values  # there are fewer than ten
  assert values['score/mean_of_last_20'][-1] == (4, pytest.approx(1.25 / 3))
  assert values['best_by_architecture/mobilenet_v2'][-1] == (4, .75)
  assert values['outcomes/accepted'] == [(1, 1), (2, 2), (3, 2), (4, 3)]
  assert values['outcomes/failed'][-1] == (4, 1) and values['outcomes/rejected_quality'][-1] == (4, 0)
  assert values['search/filtered_share'][-1] == (4, .75)
  assert values['search/candidates_a_minute'] == [(2, 2), (3, 2), (4, 2)]
  assert not {'search/copies', 'search/stopped_at_a_rung'} & set(values)


def test_the_mean_of_the_ten_best_begins_with_the_tenth(tmp_path, make_record):
  write_all(tmp_path, [make_record(index=i, scores=(s / 100,)) for i, s in enumerate([*range(50, 61), 1])])
  # 50 to 59, then 51 to 60
  means = (10, .545), (11, .555), (12, .555)
  assert read(tmp_path)['score/top_10_mean'] == [(step, pytest.approx(mean)) for step, mean in means]


def test_the_step_time_of_the_best_candidate(records, tmp_path):
  cheap = [dataclasses.replace(r, cost=cost) for r, cost in zip(records, [
      {'step_time': 9.}, None, {'step_time': 1.25, 'kept': 2.}, None, {'step_time': 1.125}], strict=True)]
  write_all(tmp_path, cheap)
  values = read(tmp_path)
  assert values['score/step_time_of_best'] == [(2, 1.25), (3, 1.25), (4, 1.25)]
  write_all(tmp_path / 'without', records)
  assert 'score/step_time_of_best' not in read(tmp_path / 'without')


def test_copies_are_no_steps_and_projected_scores_no_values(records, tmp_path, make_record, stopped):
  records[3:3] = [make_record(index=9, scores=(.5, .75), same_as=1)]
  records += [make_record(index=5, scores=(.9, .9), rungs=stopped, elapsed=90.),
              make_record(index=6, scores=(.9, .9), rungs=stopped, same_as=5, elapsed=90.)]
  write_all(tmp_path, records, seconds_between_plots=30.)
  values = read(tmp_path)
  assert [step for step, _ in values['outcomes/accepted']] == [1, 2, 3, 4, 5]
  assert values['outcomes/accepted'][-1] == (5, 4)
  assert values['score/best'][-1] == (5, .625) and values['best_by_architecture/resnet'][-1] == (5, .5)
  assert values['score/mean_of_last_20'][-1] == (5, pytest.approx(1.25 / 3))
  assert values['search/copies'] == [(3, 1), (4, 1), (5, 1)] and values['search/stopped_at_a_rung'] == [(5, 1)]
  assert [step for step, _ in values['progress']] == [3, 5] and len(values['best/graph']) == 2


def test_equation_and_drawing_of_each_new_best(records, tmp_path):
  write_all(tmp_path, records)
  values = read(tmp_path)
  assert [step for step, _ in values['best/equation']] == [1, 2]
  text = values['best/equation'][-1][1].item().decode()
  assert text == 'candidate 1, mean validation accuracy 62.5%\n\n    y = x·σ(v1·x) / s[w,h,c/g](x) · γ + β'
  assert [step for step, _ in values['best/graph']] == [1, 2]
  width, height, png = values['best/graph'][-1][1]
  assert tf.image.decode_png(png).shape == (int(height), int(width), 4)


@pytest.mark.parametrize('seconds, steps', [(60., [4]), (20., [2, 4]), (30., [3, 4])])
def test_progress_plots_at_intervals_and_at_the_end(records, tmp_path, make_record, seconds, steps):
  write_all(tmp_path, records + [make_record('reranking', (.5, .5), index=1)], seconds_between_plots=seconds)
  values = read(tmp_path)
  assert [step for step, _ in values['progress']] == steps
  assert values['reranking/candidate 1'] == [(4, .5)]


def test_values_at_intervals_before_the_reranking_and_at_the_end(records, tmp_path, make_record):
  write_all(tmp_path, records, seconds=2.)  # of at least 5 seconds from one point to the next
  values = read(tmp_path)
  assert values['score/best'] == [(1, .375), (4, .625)] and len(values['best/graph']) == 2
  final = make_record('reranking', (.5, .5), index=1)
  write_all(tmp_path / 'reranked', [*records, final, make_record(index=4, scores=(.75, .75), elapsed=120.)], seconds=1.)
  assert [step for step, _ in read(tmp_path / 'reranked')['score/best']] == [1, 4, 5]


def test_slow_summaries_wait_longer(records, tmp_path, monkeypatch):
  now = [0.]

  def slow(records):
    now[0] += 3.  # 2% of 150 seconds
    return {'score/best': .5}

  monkeypatch.setattr('search.reporting.summaries._scalars', slow)
  summaries = Summaries(tmp_path, clock=lambda: now[0])
  for count in range(2, len(records) + 1):  # at 0, 53, 103 and 153 seconds
    summaries.write(records[:count])
    now[0] += 50.
  assert [step for step, _ in read(tmp_path)['score/best']] == [1, 4]
  summaries.close()


def test_resumed_search_writes_no_step_again(records, tmp_path):
  write_all(tmp_path, records[:3])
  write_all(tmp_path, records, start=3)
  summaries = Summaries(tmp_path, written=len(records))
  summaries.write(records)
  summaries.close()
  values = read(tmp_path)
  assert [step for step, _ in values['score/best']] == [1, 2, 3, 4]
  assert [step for step, _ in values['progress']] == [2, 4]
  assert len(values['reference/bn_relu']) == 1


def test_text(tmp_path):
  summaries = Summaries(tmp_path)
  summaries.write_text('config', '    steps = 3')
  summaries.close()
  assert read(tmp_path)['config'][0][1].item() == b'    steps = 3'
