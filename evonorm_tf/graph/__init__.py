"""Layer graphs as frozen data, and the primitives of their nodes. No TensorFlow."""
