"""BigGAN with any norm-activation layer in its generator: data, networks, training, samples and scores."""

from evonorm_tf import former_names

former_names.install()
