"""Fine-tuning: data set, augmentation, loop, checkpoints."""
