"""The search for norm-activation layers: evolution of layer graphs (paper sections 3 to 6)."""

from evonorm_tf import former_names

former_names.install()
