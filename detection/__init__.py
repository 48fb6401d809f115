"""Mask R-CNN with any norm-activation layer: data, networks, training, evaluation, export and prediction."""

from evonorm_tf import former_names

former_names.install()
