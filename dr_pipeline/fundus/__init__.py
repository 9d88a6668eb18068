"""The pixel path: from a file's bytes to the pixels a network sees. One path, versioned, for training and serving."""
