"""BigGAN with class-conditional norm-activation layers (not built yet)."""
