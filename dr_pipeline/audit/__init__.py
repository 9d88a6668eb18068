"""The audit of a data set before any training: findings, and what params.yaml decides about them."""
