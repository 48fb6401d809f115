"""The executor on Ray Core: what it refuses, and a Ray of one's own in which tasks die."""

import inspect
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from search.execution import ray_executor
from search.execution.executors import WorkerDied
from search.execution.ray_executor import RayExecutor
from search.execution.retries import Retrying
from search.graphs.equation import equation_text
from search.graphs.known_graphs import known_graph
from search.journal.journal import Journal
from tests.search import deadly_tasks
from tests.search.execution.executor_contract import WorkerExecutorContract

ROOT = pathlib.Path(__file__).parents[3]


class TestRayExecutor(WorkerExecutorContract):

  @pytest.fixture(scope='class')
  def executor(self):
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(ray_executor, 'prepare_tensorflow', abs)
      executor = RayExecutor(num_cpus=.5, tasks=2, candidates_per_process=20)
      yield executor
      executor.close()

  # That a signal kills a worker, TestWorkerProcesses shows.
  @pytest.mark.parametrize('death', [(os._exit, 0), pytest.param((signal.raise_signal, signal.SIGKILL),
                                                                 marks=pytest.mark.slow)], ids=['exit 0', 'killed'])
  def test_a_dying_worker_takes_its_own_task_only(self, executor, death):
    super().test_a_dying_worker_takes_its_own_task_only(executor, death)

  @pytest.mark.slow
  @pytest.mark.parametrize('candidates', [200])
  def test_some_candidates_die_once_and_one_always(self, executor, tmp_path, candidates):
    super().test_some_candidates_die_once_and_one_always(executor, tmp_path, candidates)


@pytest.fixture
def light_workers(monkeypatch):
  """Starts an executor whose workers do without TensorFlow; closes it."""
  monkeypatch.setattr(ray_executor, 'prepare_tensorflow', abs)
  executors = []

  def start(**arguments):
    executors.append(RayExecutor(**arguments))
    return executors[-1]

  yield start
  for executor in executors:
    executor.close()


@pytest.mark.parametrize('arguments, message', [
    ({'tasks': 0}, '`tasks` must be at least 1, received 0'),
    ({'candidates_per_process': 0}, '`candidates_per_process` must be at least 1, received 0'),
    ({'num_cpus': 0}, '`num_cpus` must be positive and `num_gpus` not negative, received 0 and 0'),
    ({'num_gpus': -1}, 'received 1 and -1')])
def test_wrong_arguments_start_nothing(arguments, message, monkeypatch):
  monkeypatch.setattr(ray_executor, '_connect', None)
  with pytest.raises(ValueError, match=message):
    RayExecutor(**arguments)


def test_without_ray_the_error_tells_what_to_install(monkeypatch):
  monkeypatch.setattr(ray_executor, 'ray', None)
  with pytest.raises(ImportError, match=r"pip install '\.\[ray\]'"):
    RayExecutor()


def test_an_address_without_a_cluster(monkeypatch, tmp_path):
  monkeypatch.delenv('RAY_ADDRESS', raising=False)
  with socket.socket() as free_port:
    free_port.bind(('127.0.0.1', 0))  # and does not listen
    address = f'127.0.0.1:{free_port.getsockname()[1]}'
    with pytest.raises(ConnectionError, match=f"`address`: no Ray at '{address}': .*refused"):
      RayExecutor(address)
  with pytest.raises(ConnectionError, match="`address`: no Ray at 'nonsense'"):
    RayExecutor('nonsense')


@pytest.mark.parametrize('needs, nodes, room', [
    ((1, 0), [{'CPU': 2.}], 2), ((2, 0), [{'CPU': 5.}, {'CPU': 3.}, {'memory': 1.}], 3),
    ((1, .25), [{'CPU': 8., 'GPU': 1.}, {'CPU': 8.}], 4), ((.5, 0), [{'CPU': 1.}], 2), ((4, 0), [{'CPU': 2.}], 0)])
def test_room_is_counted_node_by_node(needs, nodes, room):
  executor = object.__new__(RayExecutor)
  executor._needs = dict(zip(('CPU', 'GPU'), needs))
  assert sum(map(executor._places_on, nodes)) == room


@pytest.mark.slow
def test_deaths_and_ends(light_workers, tmp_path, capfd):
  handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
  executor = light_workers(candidates_per_process=2, tasks=2)
  assert executor.free == 2 and handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
  with Journal(tmp_path / 'journal.jsonl', {}) as journal:
    results = deadly_tasks.run_all(Retrying(executor, 2, journal), tmp_path, [0, 0, 1, 0, 99, 0])
  assert isinstance(results.pop(4), WorkerDied) and results == {i: 10 * i for i in (0, 1, 2, 3, 5)}
  pids = [deadly_tasks.pids(tmp_path, number) for number in range(6)]
  assert [len(p) for p in pids] == [1, 1, 2, 1, 3, 1]
  everywhere = sum(pids, [])
  assert os.getpid() not in everywhere and max(map(everywhere.count, everywhere)) <= 2
  executor.submit('threads', os.environ.get, 'RAY_USAGE_STATS_ENABLED')
  assert executor.next_result() == ('threads', '0') and executor.free == 2
  executor.close()
  said = capfd.readouterr()
  assert not said.err and all('A worker died' in line for line in said.out.splitlines() if line)
  assert not any(pathlib.Path(f'/proc/{pid}').exists() for pid in everywhere)


@pytest.mark.slow
def test_by_default_a_process_has_one_candidate_and_as_many_threads_as_cores(tmp_path):
  import tensorflow as tf  # the workers' too
  assert inspect.signature(RayExecutor).parameters['candidates_per_process'].default == 1
  executor, results = RayExecutor(num_cpus=1), {}
  try:
    for key, task in {'intra': (tf.config.threading.get_intra_op_parallelism_threads,), 'a': (os.getpid,),
                      'b': (os.getpid,)}.items():
      executor.submit(key, *task)
      results.update([executor.next_result()])
  finally:
    executor.close()
  assert results['intra'] == 1 and len({os.getpid(), results['a'], results['b']}) == 3


DRIVER = """
import os, sys
from search.execution import ray_executor
from search.graphs.equation import equation_text
from search.graphs.known_graphs import known_graph
ray_executor.prepare_tensorflow = abs
executor = ray_executor.RayExecutor(sys.argv[1], tasks=1, candidates_per_process=None)
for task in ((eval, '__import__("search").__file__'), (os.environ.get, 'TF_SOME'),
             (equation_text, known_graph('evonorm_s0'))):
  executor.submit('key', *task)
  print(executor.next_result()[1])
executor.close()
"""


@pytest.fixture
def cluster(tmp_path_factory, monkeypatch):
  """The address of a cluster that was started elsewhere, and knows neither these packages nor the variables TF_*.

  It has a token of its own, so that nobody else can use it, and the user's does not count.
  """
  folder = tmp_path_factory.mktemp('ray')
  monkeypatch.setenv('RAY_AUTH_MODE', 'token')
  monkeypatch.setenv('RAY_AUTH_TOKEN', secrets.token_hex())
  environment = {k: v for k, v in os.environ.items() if not k.startswith(('TF_', 'PYTHON'))}
  with socket.socket() as probe:
    probe.bind(('', 0))  # free at every address of this machine: Ray takes another than 127.0.0.1
    port = probe.getsockname()[1]
  head = subprocess.Popen(
      [pathlib.Path(sys.executable).parent / 'ray', 'start', '--head', '--block', f'--port={port}', '--num-cpus=1',
       '--include-dashboard=false', '--disable-usage-stats', f'--temp-dir={folder}'],
      cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
  with head:
    assert any('Ray runtime started' in line for line in head.stdout)
    yield f'127.0.0.1:{port}'
    head.terminate()  # not `ray stop`, which ends every Ray of this machine
    head.communicate()


@pytest.mark.slow
def test_a_cluster_that_refuses_says_why(cluster):
  """As a process of its own: Ray reads its variables once."""
  run = subprocess.run([sys.executable, '-c', DRIVER, cluster], cwd=ROOT, text=True, check=False, capture_output=True,
                       env=os.environ | {'RAY_AUTH_TOKEN': 'another'})
  assert run.returncode
  assert 'InvalidAuthToken' in run.stderr.rpartition('`address`: no Ray at')[2]


@pytest.mark.slow
def test_a_cluster_gets_the_code_and_the_variables(cluster, tmp_path):
  # Elsewhere, for Ray tells the workers of the driver's folder, which those of another machine do not have.
  run = subprocess.run([sys.executable, '-c', DRIVER, cluster], cwd=tmp_path, text=True, check=False,
                       capture_output=True, env=os.environ | {'TF_SOME': 'value', 'PYTHONPATH': str(ROOT)})
  assert run.returncode == 0, run.stderr
  file, variable, equation = run.stdout.split('\n', 2)
  assert file.endswith('search/__init__.py') and file != str(ROOT / 'search' / '__init__.py')
  assert variable == 'value' and equation.strip() == equation_text(known_graph('evonorm_s0'))


@pytest.mark.slow
def test_large_arrays_are_sent_once(light_workers):
  executor = light_workers(num_cpus=.5, tasks=2, candidates_per_process=20)
  images, labels = np.ones((2, ray_executor.LARGE_BYTES // 8)), np.arange(10)
  images.flags.writeable = False
  for key in range(4):
    executor.submit(key, lambda images, labels, n: float(images.sum() + labels.sum() + n), images, labels, key)
    assert executor.next_result() == (key, images.size + 45. + key)
  assert len(executor._kept) == 1
  changing = np.zeros(ray_executor.LARGE_BYTES)
  for key in range(2):
    changing += 1.  # what can change travels with each task
    executor.submit(key, np.sum, changing)
    assert executor.next_result() == (key, changing.size * (key + 1.))
  assert len(executor._kept) == 1


@pytest.mark.slow
def test_a_node_is_lost_with_a_task_and_another_one_joins(monkeypatch, tmp_path):
  cluster_utils = pytest.importorskip('ray.cluster_utils')
  monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
  monkeypatch.setattr(ray_executor, 'prepare_tensorflow', abs)
  monkeypatch.setattr(ray_executor, 'SECONDS_BETWEEN_COUNTS', 0)
  node = {'num_cpus': 1, 'object_store_memory': ray_executor.OBJECT_STORE_BYTES}
  cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
  try:
    doomed = cluster.add_node(**node)
    executor = RayExecutor(cluster.address, runtime_env={})
    with Journal(tmp_path / 'journal.jsonl', {}) as journal:
      retrying = Retrying(executor, 0, journal)
      assert retrying.free == 2
      for number in range(2):
        retrying.submit(f'task {number}', deadly_tasks.wait, tmp_path, number)
      while not all(deadly_tasks.tries(tmp_path, number) for number in range(2)):
        time.sleep(.1)
      cluster.remove_node(doomed, allow_graceful=False)
      cluster.add_node(**node)
      (tmp_path / 'go').write_text('')
      ended = []
      while len(ended) < 2:
        ended += retrying.next_results()
    assert sorted(ended) == [('task 0', 0), ('task 1', 10)]
    assert sorted(len(deadly_tasks.tries(tmp_path, number)) for number in range(2)) == [1, 2]
    executor.close()
  finally:
    cluster.shutdown()
