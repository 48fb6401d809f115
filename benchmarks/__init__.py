"""Benchmarks, which are run by hand: the cost of layers, steps and candidates, and of the search's shortcuts."""
