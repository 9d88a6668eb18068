"""From a data set's own layout to the manifest, one row per photograph."""
