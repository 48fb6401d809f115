"""The count of bad evaluations: in a row, across guards, whatever the value is."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.devices.strategy import get_strategy
from gan.training.collapse import Collapse
from gan.training.collapse import CollapseGuard


@pytest.fixture(params=['one_device', 'mirrored'])
def model(request, tmp_path):
  (tmp_path / 'best').mkdir()
  (tmp_path / 'best' / 'info.json').write_text(json.dumps({'fid': 7.5, 'best_ckpt_global_step': 20}))
  with get_strategy(request.param).scope():
    return types.SimpleNamespace(bad_evaluations=tf.Variable(
        0, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA))


def offer(model, folder, *fids, max_fid=10., evaluations=3):
  """Gives values to a new guard, one every ten steps."""
  guard = CollapseGuard(max_fid, evaluations, str(folder))
  for number, fid in enumerate(fids, 1):
    guard(model, {'fid': fid, 'step': 10 * number})
  return int(model.bad_evaluations.numpy())


def test_bad_ones_in_a_row_count(model, tmp_path):
  assert offer(model, tmp_path, 9., 11., 12., 10., 11., 10.5) == 2
  message = ('^Training stopped, for FID has been above 10 in 3 evaluations in a row: 11.00 at step 10. The best '
             f'checkpoint is in {tmp_path}/best: FID 7.50 at step 20. A smaller')
  with pytest.raises(Collapse, match=message):
    offer(model, tmp_path, 11.)  # another process


def test_what_is_no_number_is_bad(model, tmp_path):
  with pytest.raises(Collapse):
    offer(model, tmp_path, np.nan, np.inf, evaluations=2)


def test_without_a_bound_all_is_good(model, tmp_path):
  assert offer(model, tmp_path, 1e9, np.nan, max_fid=None, evaluations=1) == 0


def test_it_ends_a_command_with_a_message():
  assert issubclass(Collapse, FloatingPointError)  # which `experiment` tells of without a traceback
