"""The whole way, by the binaries: a search finds a layer, a network is trained with it, exported, loaded and asked."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.data import cifar10
from evonorm_tf.graph.layer_graph import LayerGraph

ROOT = pathlib.Path(__file__).parents[1]


def run(module, gin_file, model_dir, *arguments):
  command = [sys.executable, '-m', module, f'--gin_file=gin/{gin_file}', f'--model_dir={model_dir}', *arguments]
  subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


@pytest.mark.slow
def test_a_found_layer_is_trained_exported_and_loaded(tmp_path):
  run('search.run_search', 'search/smoke.gin', tmp_path / 'search')
  layer = tmp_path / 'search' / 'report' / 'layer_1.json'
  assert isinstance(LayerGraph.load(layer), LayerGraph)

  experiment = 'classification/cifar10_resnet20.gin', tmp_path / 'training', f"--gin_bindings=NORM_ACT = '{layer}'"
  run('evonorm_tf.train', *experiment, '--gin_bindings=run_classification.epochs = 2')
  run('evonorm_tf.train', *experiment, '--mode=export')

  images, labels = cifar10.load_split('test')
  classify = tf.saved_model.load(tmp_path / 'training' / 'export').signatures['image_bytes']
  outputs = classify(image_bytes=tf.stack([tf.io.encode_png(image) for image in images]))
  evaluated = json.loads((tmp_path / 'training' / 'best' / 'info.json').read_text())
  np.testing.assert_allclose(np.mean(outputs['classes'] == labels), evaluated['accuracy'], atol=1e-6)
  losses = -np.log(np.take_along_axis(outputs['probabilities'].numpy(), labels[:, None].astype(int), axis=1))
  np.testing.assert_allclose(losses.mean(), evaluated['validation_loss'], rtol=1e-4)
