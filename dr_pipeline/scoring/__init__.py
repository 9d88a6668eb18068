"""A clinic's folder in, one row per file out."""
