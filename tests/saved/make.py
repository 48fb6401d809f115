"""How this folder was filled: python -m tests.saved.make, from the root of commit 3d235d8.

The tests load what programs of that commit have saved. It is not made again when the code changes, for then it would
not be what users have; so this file, whose imports follow the code, is for reading. What a later version saves
otherwise goes beside it.

  gin/                configurations as users wrote them, with the modules' names of that time
  search/             the journal of gin/search.gin; layer.json, the layer that it has found
  classifier/  gan/  detector/    model directories of trainings, two steps long
  sweep/              one that has ended, without the checkpoints of its runs
  shapes/             of the detector's data what holds no image
  models/             small_model.py in tf_keras and in Keras 3, in every format; graph.json is a layer of theirs
  real_statistics/    of noise, for a GAN's scores
  expected.npz        what the networks give for images of noise
  expected.json       what one more step or candidate does

Left out are images, TensorBoard's events, reports and locks.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import keras
import numpy as np
import tensorflow as tf
import tf_keras

import evonorm_tf
from evonorm_tf import keras3
from search.known_graphs import known_graph
from tests.saved import folders
from tests.saved import networks
from tests.saved import small_model

LEFT_OUT = shutil.ignore_patterns(
    '*.png', '*.tfrecord', 'events.*', '*.lock', '.lock', 'images', 'report', 'tensorboard')


def run(program, name, model_dir, *arguments):
  """Runs a program as a user does, in this folder: with relative paths no path of a machine is saved."""
  command = [sys.executable, '-m', program, f'--gin_file=gin/{name}.gin', f'--model_dir={model_dir}', *arguments]
  subprocess.run(command, cwd=folders.FOLDER, env=os.environ | {'PYTHONPATH': os.getcwd()}, check=True)


def keep(source, name, *left_out):
  """Copies a folder without empty ones."""
  target = folders.FOLDER / name
  shutil.rmtree(target, ignore_errors=True)
  shutil.copytree(source, target, ignore=lambda f, names: {*LEFT_OUT(f, names), *(set(names) & set(left_out))})
  for folder in sorted(target.rglob('*/'), reverse=True):
    if not any(folder.iterdir()):
      folder.rmdir()


def make_search(scratch):
  """Its longer one goes on from a copy, and gives what is expected of that."""
  run('search.run_search', 'search', scratch / 'search')
  keep(scratch / 'search', 'search')
  shutil.copy(scratch / 'search' / 'report' / 'layer_1.json', folders.FOLDER / 'layer.json')
  run('search.run_search', 'search', scratch / 'search', f'--gin_bindings={folders.LONGER["search"]}')
  return {'candidate_4': folders.candidate_4(scratch / 'search')}


def make_training(scratch, program, name, mode):
  """Two steps that are kept, and how far a third one moves the variables."""
  run(program, name, scratch / name, f'--mode={mode}')
  keep(scratch / name, name, 'train', 'validation')
  run(program, name, scratch / name, f'--gin_bindings={folders.LONGER[name]}', '--mode=train')
  return folders.movement(folders.FOLDER / name, scratch / name)


def make_detector(scratch):
  """Its data go to this folder, as its configuration has it, and lose their images. A third step is not repeatable."""
  run('detection.train', 'detector', scratch / 'detector', '--mode=train')
  keep(scratch / 'detector', 'detector', 'train')
  shutil.move(folders.FOLDER / 'shapes', scratch / 'shapes')
  keep(scratch / 'shapes', 'shapes')
  images = networks.pixels(64)
  model = networks.detector()
  tf.train.Checkpoint(model=model).read(tf.train.latest_checkpoint(str(folders.FOLDER / 'detector'))).expect_partial()
  return {'detector_images': images, 'detector_features': networks.detector_features(model, images)}


def classifier_logits(scratch):
  run('evonorm_tf.train', 'classifier', scratch / 'exported', '--mode=export')
  images = networks.pixels(32)
  return {'classifier_images': images,
          'classifier_logits': networks.classifier_logits(scratch / 'exported' / 'export', images)}


def gan_colours(scratch):
  run('gan.train', 'gan', scratch / 'drawn', '--mode=sample', '--classes=3,1')
  return {'gan_colours': networks.gan_colours(scratch / 'drawn' / 'samples')}


def make_models(scratch):
  """A model in either Keras; its SavedModels, which are large, in archives."""
  folders.MODELS.mkdir(exist_ok=True)
  graph = folders.MODELS / 'graph.json'
  known_graph(small_model.GRAPH).save(graph)
  images = np.random.default_rng(0).normal(.3, 1.2, [2, 6, 6, 3]).astype(np.float32)
  results = {'images': images}
  for name, module, get, baselines in (('keras2', tf_keras, evonorm_tf.get_norm_act, small_model.BASELINES),
                                       ('keras3', keras, keras3.get_norm_act, ())):
    model = small_model.make_trained(module, get, graph, baselines)
    results[name] = np.asarray(model(images, training=False))
    for ending in ('keras', 'h5'):
      model.save(folders.MODELS / f'{name}.{ending}')
    model.save_weights(folders.MODELS / f'{name}.weights.h5')
    if module is keras:
      model.export(scratch / name)
    else:
      model.save(scratch / name, save_format='tf')
    with tarfile.open(folders.MODELS / f'{name}.tar.xz', 'w:xz') as archive:
      archive.add(scratch / name, name)
  return results


def main():
  with tempfile.TemporaryDirectory() as folder:
    scratch = pathlib.Path(folder)
    values = make_search(scratch)
    values['classifier'] = make_training(scratch, 'evonorm_tf.train', 'classifier', 'train_and_eval')
    values['gan'] = make_training(scratch, 'gan.train', 'gan', 'train')
    run('evonorm_tf.sweep', 'sweep', scratch / 'sweep')
    keep(scratch / 'sweep', 'sweep', 'train', 'validation', 'best', 'checkpoint', *(
        path.name for path in (scratch / 'sweep').rglob('ckpt-*')))
    networks.noise_statistics(folders.FOLDER / 'real_statistics')
    shutil.copytree(folders.FOLDER / 'classifier', scratch / 'exported')
    shutil.copytree(folders.FOLDER / 'gan', scratch / 'drawn')
    arrays = {**make_models(scratch), **classifier_logits(scratch), **gan_colours(scratch), **make_detector(scratch)}
  np.savez_compressed(folders.FOLDER / 'expected.npz', **arrays)
  (folders.FOLDER / 'expected.json').write_text(json.dumps(values, indent=1) + '\n')


if __name__ == '__main__':
  main()
