"""Benchmarks to run by hand: the cost of layers, training steps and candidates, and the savings of a search."""
