"""Progress on a terminal and elsewhere, with a clock of our own."""

import io

import pytest
from rich.console import Console

from search.graphs.known_graphs import known_graph
from search.reporting.progress import Progress


class Clock:
  """Seconds that pass when told to."""

  def __init__(self):
    self.now = 1000.

  def __call__(self):
    return self.now


@pytest.fixture
def clock():
  return Clock()


def plain(width=40):
  return Console(file=io.StringIO(), width=width)


def lines(console):
  return console.file.getvalue().splitlines()


def test_a_plain_line_now_and_then_and_a_last_one(make_record, clock):
  records = []
  with Progress({'evolution': 10}, console := plain(), clock=clock) as progress:
    progress.update('evolution', records)
    for _ in range(8):
      clock.now += 10
      records.append(make_record())
      progress.update('evolution', records)
  done = [line.split(' (')[0] for line in lines(console)]
  assert done == ['evolution 0/10', 'evolution 3/10', 'evolution 6/10', 'evolution 8/10']
  assert lines(console)[0].endswith('(0%), elapsed 0:00:00, time left unknown, 0 accepted, no candidate accepted yet')
  assert '(30%), elapsed 0:00:30, time left 0:01:10' in lines(console)[1]


def test_time_left_is_from_the_whole_phase(make_record, clock):
  """A full evaluation of 100 s, then rejections of 1 s: the average counts both."""
  records = [make_record()]
  with Progress({'evolution': 20}, console := plain(), seconds_between_lines=0, clock=clock) as progress:
    progress.update('evolution', [])
    clock.now += 100
    progress.update('evolution', records)
    for _ in range(4):
      clock.now += 1
      records.append(make_record())
      progress.update('evolution', records)
  assert 'time left 0:31:40' in lines(console)[1]  # 19 · 100 s
  assert 'time left 0:05:12' in lines(console)[5]  # 15 · 104 s / 5


def test_time_left_is_within_the_time_allowed(make_record, clock):
  records = []
  with Progress({'evolution': 20}, console := plain(), seconds_between_lines=0, clock=clock) as progress:
    progress.update('evolution', records, seconds_allowed=90)
    for seconds in (10, 30, 60):
      clock.now += seconds
      records.append(make_record())
      progress.update('evolution', records)
  time_left = [line.split('time left ')[1].split(',')[0] for line in lines(console)[:4]]
  assert time_left == ['0:01:30', '0:01:20', '0:00:50', '0:00:00']


def test_records_of_an_earlier_run_do_not_count(make_record, clock):
  records = [make_record(elapsed=1.)] * 50
  with Progress({'evolution': 100}, console := plain(), seconds_between_lines=0, clock=clock) as progress:
    progress.update('evolution', records)
    clock.now += 60
    progress.update('evolution', records + [make_record()])
  assert 'evolution 50/100 (50%), elapsed 0:00:00, time left unknown' in lines(console)[0]
  assert 'evolution 51/100 (51%), elapsed 0:01:00, time left 0:49:00' in lines(console)[1]


def test_best_candidate_and_phases(make_record, clock):
  records = [make_record('reference', (.9,), name='bn_relu')]
  with Progress({'reference': 1, 'evolution': 2}, console := plain(), clock=clock) as progress:
    progress.update('reference', records)
    records += [make_record(index=7, scores=(.4,)), make_record(index=8, scores=(.5,), graph=known_graph('evonorm_b0'))]
    progress.update('evolution', records[:2])
    progress.update('evolution', records)
  assert lines(console) == [
      'references 1/1 (100%), elapsed 0:00:00, 1 accepted, no candidate accepted yet',
      'evolution 1/2 (50%), elapsed 0:00:00, time left unknown, 1 accepted, '
      'best: candidate 7, 40.0%: y = x·σ(v1·x) / s[w,h,c/g](x) · γ + β',
      'evolution 2/2 (100%), elapsed 0:00:00, 2 accepted, '
      'best: candidate 8, 50.0%: y = x / max(s[b,w,h](x), v1·x + s[w,h](x)) · γ + β']


def test_copies_are_counted_apart(make_record, clock):
  records = [make_record(index=0, scores=(.4,)), make_record(index=1, scores=(.4,), same_as=0),
             make_record(index=2), make_record(index=3, same_as=2)]
  with Progress({'evolution': 8, 'reranking': 2}, console := plain(), clock=clock) as progress:
    progress.update('evolution', [])
    clock.now += 40
    progress.update('evolution', records)
    progress.update('reranking', records)
  assert '4/8 (50%), elapsed 0:00:40, time left 0:00:40, 1 accepted, 2 copies, best: candidate 0' in lines(console)[1]
  assert '0/2 (0%)' in lines(console)[2] and 'copies' not in lines(console)[2]


def test_bar_on_a_terminal(make_record, clock):
  console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
  records = [make_record(scores=(.4,), graph=known_graph('bn_silu'))]
  with Progress({'evolution': 4, 'reranking': 3}, console, clock=clock) as progress:
    progress.update('evolution', [])
    clock.now += 20
    progress.update('evolution', records)
    progress._bars.refresh()
    clock.now += 15
    progress._bars.refresh()
    progress.update('reranking', records)
  shown = lines(console)
  row = next(i for i, line in enumerate(shown) if ' 1/4 ' in line)
  assert all(part in shown[row] for part in ('evolution', '━', '25%', '0:00:20', 'time left 0:01:00', '1 accepted'))
  assert any('0:00:35 time left 0:00:45' in line for line in shown)  # runs down between two records
  best = shown[row + 1].split('\r')[0]
  assert best.startswith('best: candidate 0, 40.0%: y = (v1·(x − μ[b,w,h](x))')
  assert best.endswith('…') and len(best) == 80
  assert any('re-ranking' in line and '0/3' in line for line in shown)
  assert not any('elapsed' in line for line in shown)  # no plain line


def test_a_phase_without_layers_is_not_shown(make_record, clock):
  """As where no candidate was accepted and there are no references: nothing is re-ranked."""
  with Progress({'reference': 0, 'evolution': 1, 'reranking': 5}, console := plain(), clock=clock) as progress:
    progress.update('reference', [])
    for records in ([], [make_record()]):
      progress.update('evolution', records)
    progress.expect('reranking', 0)
    progress.update('reranking', records)
  assert [line.split(' (')[0] for line in lines(console)] == ['evolution 0/1', 'evolution 1/1']


def test_the_number_of_layers_that_was_corrected(clock):
  with Progress({'reranking': 5}, console := plain(), clock=clock) as progress:
    progress.expect('reranking', 2)
    progress.update('reranking', [])
  assert [line.split(' (')[0] for line in lines(console)] == ['re-ranking 0/2']


def test_unknown_phases():
  with pytest.raises(ValueError, match='`total_by_phase` must have keys of .*received .*evolutoin'):
    Progress({'evolutoin': 3})
  with Progress({'evolution': 3}, plain()) as progress, pytest.raises(ValueError, match='`phase` must be one of'):
    progress.update('reranking', [])
