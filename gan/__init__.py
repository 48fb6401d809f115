"""BigGAN with class-conditional norm-activation layers."""
