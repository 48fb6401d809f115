"""The search for norm-activation layers: evolution of layer graphs (paper sections 3 to 6)."""
