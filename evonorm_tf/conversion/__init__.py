"""Replaces normalization and activation in finished Keras models."""
