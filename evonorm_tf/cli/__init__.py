"""Flags, gin files, exits and Ctrl-C of the command-line programs. No TensorFlow."""
