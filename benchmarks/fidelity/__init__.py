"""The study of the proxy task's fidelity, `benchmarks.proxy_fidelity`: its layers, trainings, scores and figure."""
