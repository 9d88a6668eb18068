"""The pixel path, from a file's bytes to the model input: one versioned implementation for training and serving."""
