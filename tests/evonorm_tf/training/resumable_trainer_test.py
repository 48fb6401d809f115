"""The trainer's clock; that training goes on exactly is tested in classification_test.py and mask_rcnn_test.py."""

import types

import numpy as np
import tensorflow as tf

from evonorm_tf.training import resumable
from tests.evonorm_tf.tiny_training import make_trainer


def test_images_a_second_and_the_first_bad_step(monkeypatch, restored_policy):
  trainer = make_trainer()
  trainer.train(tf.constant(1))
  times = iter([100., 104.])
  monkeypatch.setattr(resumable, 'time', types.SimpleNamespace(monotonic=lambda: next(times)))
  trainer.model.trainable_variables[0].assign(tf.fill(trainer.model.trainable_variables[0].shape, np.nan))
  logs = trainer.train(tf.constant(2))
  assert logs['images_per_second'] == 2 * 10 / 4.
  assert trainer.loss_watch.first_bad_step() == 1
