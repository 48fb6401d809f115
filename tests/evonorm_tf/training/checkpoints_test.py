"""Checkpoints are restored wholly or not at all; the best one and its results go together."""

import json
import resource

import pytest
import tensorflow as tf

from evonorm_tf.errors import ArgumentError
from evonorm_tf.errors import MachineError
from evonorm_tf.training.checkpoints import BestCheckpoint
from evonorm_tf.training.checkpoints import CheckpointManager
from evonorm_tf.training.checkpoints import latest_checkpoint
from evonorm_tf.training.checkpoints import restore
from tests.evonorm_tf.damaged_checkpoints import DAMAGES


class Steps:
  """A step, a value that goes with it, and their manager."""

  def __init__(self, folder, interval=2, **options):
    self.step, self.value = tf.Variable(0, dtype=tf.int64), tf.Variable(0.)
    self.checkpoint = tf.train.Checkpoint(step=self.step, value=self.value)
    self.manager = CheckpointManager(
        self.checkpoint, str(folder), step_counter=self.step, checkpoint_interval=interval, **options)

  def go(self, steps):
    """Goes on step by step, as Orbit does; returns at which a checkpoint is saved."""
    saved = []
    for _ in range(steps):
      self.step.assign_add(1)
      self.value.assign_add(10.)
      if self.manager.save(checkpoint_number=self.step, check_interval=True):
        saved.append(int(self.step))
    return saved


def test_a_folder_without_checkpoints(tmp_path):
  with pytest.raises(ValueError, match="`model_dir` must hold a checkpoint, found none in '.*nothing'"):
    latest_checkpoint(str(tmp_path / 'nothing'))


def test_what_the_file_lacks_is_named_and_what_it_has_besides_is_not_missed(tmp_path):
  path = tf.train.Checkpoint(a=tf.Variable(1.), b=tf.Variable(2.)).save(str(tmp_path / 'of'))
  a = tf.Variable(0.)
  restore(tf.train.Checkpoint(a=a), path)
  assert float(a) == 1.
  with pytest.raises(ValueError, match="(?s)The checkpoint '.*of-1' is of another model or optimizer: .*'gamma:0'"):
    restore(tf.train.Checkpoint(a=a, c=tf.Variable(0., name='gamma')), path)


def test_checkpoints_come_in_intervals_from_the_start_and_from_what_is_restored(tmp_path):
  first = Steps(tmp_path, max_to_keep=2)
  assert first.manager.restore_or_initialize() is None
  assert first.go(5) == [2, 4]
  second = Steps(tmp_path, max_to_keep=2)
  assert second.manager.restore_or_initialize() == latest_checkpoint(str(tmp_path))
  assert (int(second.step), float(second.value)) == (4, 40.)
  assert second.go(3) == [6] and len(list(tmp_path.glob('*.index'))) == 2


def test_the_manager_restores_all_or_fails(tmp_path):
  first = Steps(tmp_path, max_to_keep=1)
  first.manager.restore_or_initialize()
  first.go(2)
  other = Steps(tmp_path, max_to_keep=1)
  other.checkpoint.extra = tf.Variable(0., name='momentum')
  with pytest.raises(ValueError, match="(?s)is of another model or optimizer: .*'momentum:0'"):
    other.manager.restore_or_initialize()


@pytest.mark.parametrize('kind', ['data cut', 'index missing', 'checkpoint names another'])
def test_the_manager_goes_on_from_the_newest_that_reads_and_keeps_the_others(tmp_path, kind, caplog):
  first = Steps(tmp_path, max_to_keep=3)
  first.manager.restore_or_initialize()
  assert first.go(7) == [2, 4, 6]
  DAMAGES[kind](tmp_path, 'ckpt-6')
  second = Steps(tmp_path, max_to_keep=3)
  assert second.manager.restore_or_initialize() == second.manager.latest_checkpoint
  step = 6 if 'names another' in kind else 4
  assert (int(second.step), float(second.value)) == (step, 10. * step) and 'Using the newest' in caplog.text
  assert second.go(10 - step) == list(range(step + 2, 11, 2))
  assert latest_checkpoint(str(tmp_path)) == str(tmp_path / 'ckpt-10')
  names = {path.stem for path in tmp_path.glob('*.index')}
  assert names >= {'ckpt-10', 'ckpt-8', 'ckpt-6'} and len(names) == (5 if 'names another' in kind else 3)


@pytest.mark.parametrize('state', [b'', b'\xff', b'garbage'])
def test_a_damaged_state_file_is_written_anew(tmp_path, state):
  first = Steps(tmp_path, max_to_keep=3)
  first.manager.restore_or_initialize()
  first.go(4)
  (tmp_path / 'checkpoint').write_bytes(state)
  second = Steps(tmp_path, max_to_keep=3)
  second.manager.restore_or_initialize()
  assert second.go(2) == [6] and tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / 'ckpt-6')


def test_a_full_disk_is_told_in_a_line_and_training_goes_on_when_there_is_space(tmp_path):
  """Not a fake: the kernel refuses files of more than a kilobyte."""
  first = Steps(tmp_path, max_to_keep=3)
  first.manager.restore_or_initialize()
  first.go(2)
  first.checkpoint.large = tf.Variable(tf.zeros(10_000))
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limit[1]))
  try:
    with pytest.raises(MachineError, match=rf"^A checkpoint cannot be written to '{tmp_path}': File too large, "
                                           r'[\d,.]+ MiB are free\. The earlier ones are kept, and the same .*$'):
      first.go(2)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
  second = Steps(tmp_path, max_to_keep=3)
  assert second.manager.restore_or_initialize().endswith('ckpt-2') and second.go(2) == [4]


def test_what_is_checked_before_saving_comes_before(tmp_path):
  for manager in (Steps(tmp_path / 'a', max_to_keep=3, before_saving=lambda: 1 / 0).manager,
                  BestCheckpoint(str(tmp_path / 'b'), 'accuracy', 'higher', before_saving=lambda: 1 / 0)):
    with pytest.raises(ZeroDivisionError):
      if isinstance(manager, BestCheckpoint):
        manager.maybe_export_checkpoint(tf.train.Checkpoint(), {'accuracy': tf.constant(1.)}, 1)
      else:
        manager.save()
  assert not [path for path in tmp_path.rglob('*') if path.is_file()]


@pytest.fixture
def best(tmp_path):
  """Offers an accuracy, at a step of its hundredfold, to a new BestCheckpoint; returns whether it is the best."""
  value = tf.Variable(0.)

  def offer(accuracy, **options):
    value.assign(accuracy)
    exporter = BestCheckpoint(str(tmp_path), 'accuracy', 'higher', **options)
    logs = {'accuracy': tf.constant(accuracy), 'validation_loss': tf.constant(2.)}
    return exporter.maybe_export_checkpoint(tf.train.Checkpoint(v=value), logs, round(100 * accuracy))

  return offer


def kept(folder):
  """The accuracy in the checkpoint, and that in the results."""
  value = tf.Variable(0.)
  restore(tf.train.Checkpoint(v=value), latest_checkpoint(str(folder)))
  return float(value), json.loads((folder / 'info.json').read_text())


def test_the_best_is_known_after_a_restart(best, tmp_path):
  assert [best(accuracy) for accuracy in (.25, .125, .5, .5)] == [True, False, True, False]
  assert kept(tmp_path) == (.5, {'accuracy': .5, 'validation_loss': 2., 'best_ckpt_global_step': 50})


def test_notes_stand_beside_the_results_of_the_best(best, tmp_path):
  best(.25, notes={'protocol': 'all images'})
  assert not best(.125, notes={'protocol': 'few'})
  assert kept(tmp_path)[1] == {'accuracy': .25, 'validation_loss': 2., 'best_ckpt_global_step': 25,
                               'protocol': 'all images'}


@pytest.mark.parametrize('kind', ['data cut', 'index garbage', 'shard missing'])
def test_the_results_of_a_best_checkpoint_that_is_damaged_do_not_count(best, tmp_path, kind, caplog):
  best(.5)
  DAMAGES[kind](tmp_path, 'best_ckpt-1')
  with pytest.raises(ArgumentError, match='best_ckpt-1'):
    latest_checkpoint(str(tmp_path))
  assert best(.25) and 'the best results so far do not count' in caplog.text and kept(tmp_path)[1]['accuracy'] == .25
  (tmp_path / 'info.json').write_text('{"accu')
  assert best(.125) and kept(tmp_path)[1]['accuracy'] == .125


def test_a_checkpoint_that_is_not_written_has_no_results(best, tmp_path, monkeypatch):
  best(.25)
  with monkeypatch.context() as patch:
    patch.setattr(tf.train.CheckpointManager, 'save', lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      best(.5)
  assert kept(tmp_path)[1]['accuracy'] == .25
  assert best(.5) and kept(tmp_path)[0] == .5


def test_a_host_besides_the_chief_writes_into_memory_alone():
  folder = 'ram://checkpoints_test'
  exporter = BestCheckpoint(folder, 'accuracy', 'higher', is_chief=False)
  offers = [exporter.maybe_export_checkpoint(tf.train.Checkpoint(v=tf.Variable(0.)), {'accuracy': tf.constant(a)}, 1)
            for a in (.25, .125, .5)]
  assert offers == [True, False, True] and float(exporter.best_ckpt_logs['accuracy']) == .5
  assert tf.train.latest_checkpoint(folder)
