"""The EvoNorm layers, layers that run a graph, their baselines, and the registry that names them."""
