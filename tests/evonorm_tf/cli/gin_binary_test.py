"""What the binaries share, with a root function that does nothing."""

import pathlib
import signal
import subprocess
import sys

from absl import flags
from absl import logging
from absl.testing import flagsaver
import gin
import pytest
import tensorflow as tf

from evonorm_tf import errors
from evonorm_tf.cli import gin_binary
from evonorm_tf.cli import gin_configuration
from tests.evonorm_tf import fake_experiment

GIN = """from __gin__ import dynamic_registration

from tests.evonorm_tf import fake_experiment

fake_experiment.run.part = @fake_experiment.Part()
fake_experiment.Part.size = %SIZE
SIZE = 3
"""
ENDED = """
import time
from absl import app
from evonorm_tf.cli import gin_binary

class Iterator:
  def __del__(self):
    time.sleep(60)

def interrupt():
  iterator = Iterator()
  print('begun')
  raise KeyboardInterrupt

app.run(lambda _: gin_binary.run('tests.evonorm_tf.fake_experiment.run', action=interrupt))
"""
ROOT = pathlib.Path(__file__).parents[3]
AGAIN = 'Interrupted. The same command goes on where it stopped.'


@pytest.fixture
def run(tmp_path, monkeypatch):
  """Runs the root with a configuration; returns what it returns, or what it exits with."""
  path = tmp_path / 'some.gin'
  path.write_text(GIN)
  fake_experiment.calls.clear()
  flags.FLAGS.mark_as_parsed()
  monkeypatch.setattr(gin_binary, 'end_at_once', sys.exit)
  handler, verbosity = signal.getsignal(signal.SIGINT), logging.get_verbosity()

  def run_root(*bindings, file=path, root='run', model_dir='there', **arguments):
    gin.clear_config()
    with flagsaver.flagsaver(gin_file=[str(file)], gin_bindings=list(bindings), model_dir=str(model_dir)):
      try:
        return gin_binary.run(f'tests.evonorm_tf.fake_experiment.{root}', **arguments)
      except SystemExit as ended:
        return ended.code

  yield run_root
  gin.clear_config()
  signal.signal(signal.SIGINT, handler)
  logging.set_verbosity(verbosity)


def test_the_root_gets_what_is_bound_and_given(run):
  assert run('SIZE = 4', 'run.rate = .5', rate=.25) == 'ended'
  (model_dir, part, rate, config), = fake_experiment.calls
  assert (model_dir, part, rate) == ('there', fake_experiment.Part(4), .25)
  assert 'fake_experiment.Part.size = %SIZE' in config and 'SIZE = 4' in config


@pytest.mark.parametrize('binding, message', [
    ('run.rat = 1', "Configurable 'run' doesn't have a parameter named 'rat'"),
    ('Part.sizes = 1', "Configurable 'Part' doesn't have a parameter named 'sizes'"),
    ('rnu.rate = 1', "No configurable matching 'rnu'"), ('run.rate = (', 'EOF'), ('Part.size = %UNKNOWN', "'UNKNOWN"),
    ('SIZE = -1', '`size` must not be negative, received -1.'),
    ('SIZE = "a"', "`Part.size` must be an integer, received 'a'."),
    ('SZIE = 4', 'Did you mean `SIZE` or `fake_experiment.Part.size`?'),
    ('run.part = @elsewhere.Part()', '@elsewhere.Part()')])
def test_wrong_configurations_do_not_reach_the_root(run, binding, message):
  code = run(binding)
  assert code.startswith('error: ') and message in code and not fake_experiment.calls


def test_a_bug_in_a_class_that_is_bound_keeps_its_traceback(run, monkeypatch):
  monkeypatch.setattr(fake_experiment.Part, '__post_init__', lambda part: part.size.missing)
  with pytest.raises(AttributeError, match="no attribute 'missing'") as raised:
    run('SIZE = 4')
  assert raised.traceback[-1].name == '<lambda>'


@pytest.mark.parametrize('text, message', [
    ('from tests.evonorm_tf import fake_experimet', "No module named 'tests.evonorm_tf.fake_experimet'"),
    ('fake_experiment.rnu.rate = 1', 'fake_experiment'),
    ('from tests.evonorm_tf import fake_experiment\nfake_experiment.unused.size = 1',
     'must bind run.part.'),
    ('from tests.evonorm_tf import fake_experiment\nfake_experiment.run.rate = 1',
     'must bind run.part.'),
    ('from tests.evonorm_tf import fake_experiment\nfake_experiment.run.part = @fake_experiment.Part()',
     "'size'")])
def test_wrong_files_do_not_reach_the_root(run, tmp_path, text, message):
  (tmp_path / 'wrong.gin').write_text(f'from __gin__ import dynamic_registration\n{text}\n')
  code = run(file=tmp_path / 'wrong.gin')
  assert code.startswith('error: ') and message in code and not fake_experiment.calls


@pytest.mark.parametrize('place', ['there', 'there/deeper'])
def test_a_file_where_the_folder_should_be(run, tmp_path, place):
  (tmp_path / 'there').write_text('')
  place = tmp_path / place
  assert run(model_dir=place) == (
      f'error: `model_dir` must be a folder, received {place}: {tmp_path / "there"} is a file.')
  assert not fake_experiment.calls


def test_a_configuration_of_another_command_is_told_before_it_is_parsed(run, tmp_path, monkeypatch):
  monkeypatch.setitem(gin_configuration.COMMANDS, 'train', 'some.command')
  (tmp_path / 'other.gin').write_text('from nowhere import train\ntrain.train.rate = 3\n')
  assert run(file=tmp_path / 'other.gin') == (
      f'error: the configuration sets nothing of run, which this command runs. {tmp_path / "other.gin"}, line 2 sets '
      'train, which is run by `python -m some.command`.')


def test_the_arguments_of_the_root_are_suggested(run):
  assert run('acton = 3').endswith('Did you mean `run.action`?')


def test_a_missing_file(run):
  assert run(file='nowhere.gin').startswith('error: Unable to open file: nowhere.gin')


@pytest.mark.parametrize('error, message', [
    (errors.ArgumentError('`a` must be b.'), '`a` must be b.'),
    (errors.MachineError(28, 'No space left on device', 'x'), "[Errno 28] No space left on device: 'x'"),
    (errors.MissingDependencyError("pip install 'x'"), "pip install 'x'"), (errors.NotFiniteError('inf'), 'inf'),
    (errors.UnreachableError('no host'), 'no host'), (errors.SetupError('set X'), 'set X'),
    (errors.TensorFlowError('Host 1 is gone.\nRestart.'), 'Host 1 is gone.\nRestart.')])
def test_errors_that_users_can_cause_end_with_their_message(run, error, message):
  def fail():
    raise error

  assert run(action=fail) == f'error: {message}'
  assert run('run.rate = 1', action=fail) == f'error: {message}'  # by gin, which adds where it was


def test_the_traceback_is_there_for_who_asks(run, monkeypatch):
  seen = []
  monkeypatch.setattr(logging, 'debug', lambda *_, **options: seen.append(options))
  run('run.rat = 1')
  assert seen == [{'exc_info': True}]


@pytest.mark.parametrize('error', [
    ValueError('a'), ZeroDivisionError(), TypeError('a'), OSError('a'), ImportError('a'), FloatingPointError('a'),
    tf.errors.InvalidArgumentError(None, None, 'a')])
def test_other_errors_are_bugs_and_keep_their_traceback(run, error):
  def fail():
    raise error

  with pytest.raises(type(error)) as raised:
    run(action=fail)
  assert 'fail' in [frame.name for frame in raised.traceback]


def test_a_missing_package_of_another_project_is_named(run, monkeypatch):
  monkeypatch.setattr(gin_configuration.importlib, 'import_module', absent)
  code = run()
  assert code == (
      "error: No module named 'official'. It comes with `pip install '.[train]'` in a clone "
      'of the repository, or the wheel with [train].')


def absent(name):
  raise ModuleNotFoundError("No module named 'official'", name='official.core')


def test_former_names_in_bindings_are_translated(run, recwarn):
  assert run('evonorm_tf.norm_act.NormActFactory.spec = 1').startswith("error: No configurable matching")
  assert [str(w.message).split(';')[0] for w in recwarn if w.category is FutureWarning] == [
      'evonorm_tf.norm_act is now evonorm_tf.layers.norm_act']


def test_sigterm_while_the_root_cleans_up(run, capsys):
  assert run(action=lambda: signal.raise_signal(signal.SIGTERM), cleans_up=True) == 143
  assert capsys.readouterr().err == f'{AGAIN}\n'
  assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize('cleans_up', [False, True])
def test_a_keyboard_interrupt(run, capsys, cleans_up):
  def interrupt():
    raise KeyboardInterrupt

  assert run(action=interrupt, cleans_up=cleans_up) == 130
  assert capsys.readouterr().err == f'{AGAIN}\n'
  assert not cleans_up or signal.getsignal(signal.SIGINT) is signal.SIG_DFL  # for the rest of the process


@pytest.mark.slow
def test_the_end_waits_for_no_destructor(tmp_path):
  """tf.data's iterators, which the interrupted frames hold, may wait for a minute in theirs."""
  (tmp_path / 'some.gin').write_text(GIN)
  command = [sys.executable, '-c', ENDED, f'--gin_file={tmp_path / "some.gin"}', f'--model_dir={tmp_path / "there"}']
  ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
  assert (ended.returncode, ended.stdout, ended.stderr.splitlines()[-1]) == (130, 'begun\n', AGAIN)


def test_who_cleans_up_gets_the_ctrl_c(run):
  handlers = [None, None]

  def look(index):
    handlers[index] = signal.getsignal(signal.SIGINT)

  signal.signal(signal.SIGINT, signal.default_int_handler)
  run(action=lambda: look(0), cleans_up=True)
  run(action=lambda: look(1))
  assert handlers[0] is signal.default_int_handler is not handlers[1]


@pytest.mark.slow
def test_a_binding_refers_to_what_the_file_imports_and_does_not_use(tmp_path):
  # In a process of its own: gin remembers what was ever registered.
  code = """
import gin
from evonorm_tf.cli import gin_configuration
with gin_configuration.configured('search.evolution.run_search', ['gin/search/quickstart.gin'], [
    'proposal.TournamentEvolution.winner = @tournament.average_winner',
    'evolution.run_search.space = @random_graph.sample_space()'], ('model_dir',)) as run_search:
  bound = gin_configuration.bound_arguments(run_search)
  assert 'REFERENCED' not in gin.config_str()
print(bound['strategy'].winner.__name__, bound['space'].index_sets)
"""
  ran = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
  assert ran.stdout == "average_winner ('w,h,c', 'w,h', 'w,h,c/g')\n", ran.stderr
