"""The data of a training step: sampler, data set and loader, augmentation, targets, teacher, batches."""
