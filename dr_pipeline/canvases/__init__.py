"""The store of preprocessed photographs: built once in tar shards, read by audit, training and evaluation."""
