"""Writes a found layer as readable Keras code."""
