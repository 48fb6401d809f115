"""The binary: what it says when something is wrong, without a traceback; and, slow, whole searches that are killed."""

import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from search import run_search
from search.evaluation.evaluation import Evaluation

ROOT = pathlib.Path(__file__).parents[2]
QUICKSTART, SMOKE = (str(ROOT / 'gin' / 'search' / f'{name}.gin') for name in ('quickstart', 'smoke'))


@pytest.fixture
def main(call_binary):
  return functools.partial(call_binary, run_search.main, file=QUICKSTART)


def command(model_dir, *bindings, file=SMOKE):
  return [sys.executable, '-m', 'search.run_search', f'--gin_file={file}', f'--model_dir={model_dir}',
          *(f'--gin_bindings={b}' for b in bindings)]


def test_an_unknown_gin_file(main, tmp_path):
  assert main(file='nowhere.gin').startswith('error: Unable to open file: nowhere.gin')
  assert not (tmp_path / 'model').exists()


@pytest.mark.parametrize('binding, message', [
    ('run_search.candidatess = 5', "doesn't have a parameter named 'candidatess'"),
    ('run_serch.candidates = 5', "No configurable matching 'run_serch'"),
    ('run_search.candidates =', 'Unable to parse value'),
    ('run_search.candidates', "expected ':' or '='"),
    ('run_search.strategy = @proposal.Greedy()', 'Greedy'),
    ('candidates = 10', 'Did you mean `evolution.run_search.candidates`?'),
    ('rerank/proxy_task.ProxyTask.steps = 3', 'no reference has the scope `rerank`. Did you mean `reranking`?'),
    ("run_search.candidates = 'ten'", "`run_search.candidates` must be an integer, received 'ten'."),
    ("run_search.references = 'bn_relu'", "A list of one is ('bn_relu',)."),
    ('run_search.evaluation = @evaluation.Evaluation', '@evaluation.Evaluation() makes one.')])
def test_wrong_bindings(main, tmp_path, binding, message):
  code = main(binding)
  assert code.startswith('error: ') and message in code
  assert not (tmp_path / 'model').exists()


@pytest.mark.parametrize('line, message', [
    ('from search import evolutio', "No module named 'search.evolutio'"),
    ('from search import evolution\nevolution.run_serch.candidates = 3', 'has no attribute run_serch'),
    ('from search import evolution\nevolution.run_search.references = (3', 'EOF')])
def test_wrong_gin_files(main, tmp_path, line, message):
  (tmp_path / 'wrong.gin').write_text(f'from __gin__ import dynamic_registration\n{line}\n')
  code = main(file=tmp_path / 'wrong.gin')
  assert code.startswith('error: ') and message in code


def test_a_configuration_of_a_trainer(main, tmp_path):
  code = main(file=ROOT / 'gin' / 'classification' / 'cifar10_resnet20.gin')
  assert code.endswith('sets run_classification, which is run by `python -m evonorm_tf.train`.') and '\n' not in code
  assert not (tmp_path / 'model').exists()


@pytest.mark.parametrize('binding, message', [
    ('run_search.candidates = 0', '`candidates` must be an integer of at least 1'),
    ('run_search.references = ("bn_rlu",)', "received ['bn_rlu']"),
    ('resnet/architecture.Architecture.options = {"dept": 8}', "`options` of resnet: got an unexpected keyword"),
    ('proxy_task.ProxyTask.validation_images = 7', '`validation_images` must be')])
def test_values_that_cannot_work(main, binding, message, monkeypatch):
  monkeypatch.setattr(Evaluation, 'evaluate', None)
  code = main(binding)
  assert code.startswith('error: ') and message in code


def test_a_journal_of_another_configuration(main, tmp_path):
  journal = tmp_path / 'model' / 'journal.jsonl'
  journal.parent.mkdir()
  journal.write_text('{"version": 1, "config": {"seed": 3}}\n{"stage": "reference"}\n')
  code = main()
  assert code.startswith(f'error: {journal} belongs to a search of another configuration: ')
  assert '`seed` is 0 here and 3 there' in code and '`window` is ' in code


def test_ctrl_c(main, monkeypatch, capsys):
  def interrupt(self):
    raise KeyboardInterrupt

  monkeypatch.setattr(Evaluation, 'check', interrupt)
  assert main() == 130
  assert capsys.readouterr().err == 'Interrupted. The same command goes on where it stopped.\n'


def test_the_command_line():
  """One process: what another's exit, streams and flags look like."""
  run = subprocess.run(
      command('/nowhere', 'run_search.windo = 3'), cwd=ROOT, capture_output=True, text=True, check=False)
  assert run.returncode == 1 and 'Traceback' not in run.stderr and not run.stdout
  assert "error: Configurable 'run_search' doesn't have a parameter named 'windo'." in run.stderr


def read(model_dir):
  """The records of a journal without times, notes and checksums; none as long as there is no file."""
  path = model_dir / 'journal.jsonl'
  lines = map(json.loads, path.read_bytes().split(b'\n')[1:-1] if path.exists() else [])
  varying = 'elapsed', 'seconds', 'checksum'
  return [{k: v for k, v in line.items() if k not in varying} for line in lines if 'stage' in line]


def run_until(records, end_signal, model_dir, *bindings, within=None):
  """Runs the smoke search until its journal has so many records, then sends the signal to all its processes.

  Returns what it has said, up to the end of its last process, and its exit code. It ends `within` seconds.
  """
  process = subprocess.Popen(command(model_dir, *bindings), cwd=ROOT, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True, start_new_session=True)
  with process:
    while len(read(model_dir)) < records and process.poll() is None:
      time.sleep(.05)
    assert process.poll() is None, process.stderr.read()
    os.killpg(process.pid, end_signal)
    return process.communicate(timeout=within)[1], process.returncode


@pytest.mark.slow
def test_a_search_killed_twice_ends_like_one_never_killed(tmp_path):
  one_worker = 'run_search.workers = 1'
  subprocess.run(command(tmp_path / 'whole', one_worker), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
  whole = read(tmp_path / 'whole')
  run_until(2, signal.SIGKILL, tmp_path / 'killed', one_worker)
  said, code = run_until(5, signal.SIGINT, tmp_path / 'killed', one_worker)
  assert (code, 'Traceback' in said) == (130, False) and 'goes on where it stopped' in said
  run_until(len(whole) - 1, signal.SIGKILL, tmp_path / 'killed', one_worker)
  subprocess.run(command(tmp_path / 'killed', one_worker), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
  assert read(tmp_path / 'killed') == whole
  for name in ('report.md', 'layer_1.json'):
    assert (tmp_path / 'killed' / 'report' / name).exists() == (tmp_path / 'whole' / 'report' / name).exists()
  assert (tmp_path / 'killed' / 'operative_config.gin').read_text() == (
      tmp_path / 'whole' / 'operative_config.gin').read_text()


@pytest.mark.slow
@pytest.mark.parametrize('workers', [1, 2])
@pytest.mark.parametrize('is_background_job', [False, True])
def test_sigterm_ends_a_search_as_ctrl_c_does(tmp_path, workers, is_background_job):
  """Within ten seconds, its workers with it, and without leaked semaphores; also where SIGINT is ignored."""
  handler = signal.signal(signal.SIGINT, signal.SIG_IGN if is_background_job else signal.default_int_handler)
  try:
    said, code = run_until(1, signal.SIGTERM, tmp_path, f'run_search.workers = {workers}', within=10)
  finally:
    signal.signal(signal.SIGINT, handler)
  assert (code, said) == (143, 'Interrupted. The same command goes on where it stopped.\n')


@pytest.mark.slow
def test_two_workers_evaluate_each_candidate_once(tmp_path):
  bindings = 'run_search.workers = 2', 'run_search.candidates = 5'
  said, code = run_until(1, signal.SIGINT, tmp_path, *bindings)
  assert (code, 'Traceback' in said) == (130, False)
  subprocess.run(command(tmp_path, *bindings), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
  evolved = [r for r in read(tmp_path) if r['stage'] == 'evolution']
  assert sorted(r['index'] for r in evolved) == list(range(5))
  assert len({json.dumps(r['graph']) for r in evolved}) == 5
  assert not [r for r in read(tmp_path) if 'worker process died' in r['detail']]
