"""Accelerators by name, and what TensorFlow keeps of traced graphs."""
