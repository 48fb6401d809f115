"""What all trainers share: configuration, the training loop, checkpoints, resuming and logs."""
