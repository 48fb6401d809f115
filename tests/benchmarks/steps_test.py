"""The steps between layers: their graphs against formulas, counts with mutations whose results are known."""

import numpy as np
import pytest

from benchmarks.studies import steps
from benchmarks.studies.start_functions import probe


def sigma(x):
  return 1 / (1 + np.exp(-x))


def layers():
  x = probe()
  mean, s = x.mean((0, 1, 2)), x.std((0, 1, 2))
  grouped = x.reshape(8, 6, 6, 4, 4)
  s_group = np.broadcast_to(grouped.std((1, 2, 4), keepdims=True), grouped.shape).reshape(x.shape)
  return {'tanh(x)': np.tanh(x), 'tanh(x / s)': np.tanh(x / s), 'x / s': x / s, 'x / max(s, x)': x / np.maximum(s, x),
          'x / max(s, x + s)': x / np.maximum(s, x + s), 'max(x, 0) / s': np.maximum(x, 0) / s, 'x − μ': x - mean,
          'max(x − μ, 0)': np.maximum(x - mean, 0), 'x·σ(x)': x * sigma(x),
          'x·σ(x) / s[w,h,c/g]': x * sigma(x) / s_group}


@pytest.mark.parametrize('name, graph', [pair for step in steps.STEPS for pair in (step[:2], step[2:])])
def test_graphs(name, graph):
  expected = layers()[name]
  y = np.broadcast_to(graph.evaluate(probe(), np.zeros(16), np.ones(16), 4), expected.shape)
  np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)  # up to ε


def test_counts():
  start, end = steps.STEPS[0][1], steps.STEPS[0][3]
  assert steps.counts(start, end, lambda graph, space, rng: end, 10) == (10, 10)
  assert steps.counts(start, end, lambda graph, space, rng: graph, 10) == (0, 0)


def test_table():
  rows = [{'from': start, 'to': end, 'mutation': name, 'mutants': '100', 'candidates': '60', 'steps': number}
          for start, _, end, _ in steps.STEPS for name, number in (("the paper's", '0'), ('live', '4'))]
  cells = [list(column.cells) for column in steps.table(rows).columns]
  assert cells[2] == ['more than 60'] * 7 and cells[3] == ['15 (4 times)'] * 7
