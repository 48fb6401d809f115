"""Layer graphs: random ones, mutations, known layers, the static filter, equations and drawings. No TensorFlow."""
