"""CIFAR-10 and ImageNet as input pipelines that are a function of (seed, step)."""
