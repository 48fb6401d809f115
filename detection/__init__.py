"""Mask R-CNN on any norm-activation layer (not built yet)."""
