"""What benchmarks share: how functions and whole processes are timed and weighed."""
