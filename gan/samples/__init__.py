"""Samples of a trained generator, as pictures and for scoring."""
