"""BigGAN with class-conditional norm-activation layers."""

from evonorm_tf import former_names

former_names.install()
