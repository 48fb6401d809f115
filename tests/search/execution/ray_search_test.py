"""Whole searches on Ray: on nodes that come and go, and with what a script defines."""

import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from search.execution import ray_executor

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLES = ROOT / 'examples'
GIN = """from __gin__ import dynamic_registration
from search import evolution
from search.evaluation import proxy_data
from search.evaluation import proxy_task
from search.execution import ray_executor
include 'gin/search/smoke.gin'
include 'gin/search/ray.gin'
proxy_task.ProxyTask.data = @proxy_data.cifar10_arrays()
evolution.run_search.candidates = 24
evolution.run_search.retries = 0
ray_executor.RayExecutor.candidates_per_process = 20
"""
# A primitive, a network, images, a rejection test and an objective, all of the main program and none of a module.
SCRIPT = """
import numpy as np
import tensorflow as tf
import tf_keras
import search
from evonorm_tf.graph.primitives import BUILT_IN
from search.execution.ray_executor import RayExecutor

search.register_primitive('softsign', numpy=lambda x: x / (1. + np.abs(x)), tensorflow=tf.nn.softsign,
                          derivative=lambda x: (1. + np.abs(x))**-2.)


def net(norm_act, num_classes, input_shape):
  images = tf_keras.Input(input_shape)
  x = norm_act()(tf_keras.layers.Conv2D(8, 3)(images))
  return tf_keras.Model(images, tf_keras.layers.Dense(num_classes)(tf_keras.layers.GlobalAveragePooling2D()(x)))


def images():
  rng, labels = np.random.default_rng(0), np.arange(600) % 3
  pixels = rng.normal(80. * labels[:, None, None, None], 30., (600, 8, 8, 1)).clip(0, 255).astype(np.uint8)
  return {'train': (pixels[:500], labels[:500]), 'test': (pixels[500:], labels[500:])}


class PassesAll:
  def check(self, task, norm_act, trainings):
    assert task.data is images or callable(task.data)


def mean(candidate):
  return sum(candidate.scores)


task = search.ProxyTask((search.Architecture(build=net),), data=images, image_size=None, crop_size=None, steps=30,
                        batch_size=32, validation_images=90, evaluation_batch_size=90, flips=False)
found = search.run(
    'smoke', model_dir='run', evaluation=search.Evaluation(task, tests=(PassesAll(),), groups=2),
    evolution=search.TournamentEvolution(4, objective=mean), candidates=10, references=('bn_relu',), max_minutes=None,
    space=search.SearchSpace(nodes=4, primitives=(*BUILT_IN, 'softsign')),
    executor=lambda: RayExecutor(num_cpus=.5, tasks=2, candidates_per_process=20))
print(found)
"""

pytestmark = pytest.mark.slow


def records_of(folder):
  lines = map(json.loads, (folder / 'journal.jsonl').read_text().splitlines()[1:])
  return [line for line in lines if 'stage' in line]


def test_a_search_loses_a_node_and_nothing_else(monkeypatch, tmp_path):
  cluster_utils = pytest.importorskip('ray.cluster_utils')
  monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
  (tmp_path / 'search.gin').write_text(GIN)
  node = {'num_cpus': 1, 'object_store_memory': ray_executor.OBJECT_STORE_BYTES}
  cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
  doomed, address = cluster.add_node(**node), cluster.address
  command = [sys.executable, '-m', 'search.run_search', f'--gin_file={tmp_path}/search.gin',
             f'--model_dir={tmp_path}/run', f"--gin_bindings=ray_executor.RayExecutor.address = '{address}'"]
  journal = tmp_path / 'run' / 'journal.jsonl'
  try:
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while running.poll() is None and (not journal.exists() or journal.read_text().count('"stage"') < 6):
      time.sleep(.2)
    cluster.remove_node(doomed, allow_graceful=False)
    cluster.add_node(**node)
    printed, _ = running.communicate(timeout=600)
  finally:
    cluster.shutdown()
  assert running.returncode == 0, printed[-3000:]
  records = records_of(tmp_path / 'run')
  assert sorted(r['index'] for r in records if r['stage'] == 'evolution') == list(range(24))
  assert not [r['detail'] for r in records if 'worker' in r['detail'] or 'died' in r['detail']]
  # What the folder keeps is enough to go on with.
  kept = (tmp_path / 'run' / 'operative_config.gin').read_text()
  assert f"address = '{address}'" in kept and 'candidates_per_process = 20' in kept


def test_what_a_script_defines_reaches_the_tasks(tmp_path):
  (tmp_path / 'script.py').write_text(SCRIPT)
  ran = subprocess.run([sys.executable, 'script.py'], cwd=tmp_path, capture_output=True, text=True, check=False,
                       env=os.environ | {'PYTHONPATH': str(ROOT)}, timeout=600)
  assert ran.returncode == 0, ran.stderr[-3000:]
  records = records_of(tmp_path / 'run')
  assert records[0]['name'] == 'bn_relu' and records[0]['scores']['net'] > .5  # chance is a third
  evolved = [r for r in records if r['stage'] == 'evolution']
  assert len(evolved) == 10 and 'accepted' in {r['outcome'] for r in evolved}
  assert 'softsign' in {node['primitive'] for r in evolved for node in r['graph']['nodes']}
