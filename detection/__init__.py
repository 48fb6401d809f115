"""Mask R-CNN on any norm-activation layer."""

from evonorm_tf import former_names

former_names.install()
