"""Training of the network that outlines lesions: folds, tiles of canvases, loss and loop."""
