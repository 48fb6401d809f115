"""The gradient of the EvoNorms that keeps little between forward and backward, for each engine."""
