"""What a training step sees: data set, sampler, augmentation, mixing, targets, class weights."""
