"""Tensor operations under one name on every engine: TensorFlow, and JAX and PyTorch through Keras 3."""
