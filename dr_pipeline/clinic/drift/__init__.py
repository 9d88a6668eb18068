"""Compares batches of scored photographs with those that the model was developed on."""
