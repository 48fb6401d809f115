"""Studies of searches that take hours, run by hand; they resume where they stopped."""
