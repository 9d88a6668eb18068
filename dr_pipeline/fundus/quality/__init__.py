"""Image quality: whether a canvas is a fundus, whether it can be graded, and why not."""
