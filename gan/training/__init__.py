"""One training step of a GAN: losses, optimizers, the averaged generator and the collapse guard."""
