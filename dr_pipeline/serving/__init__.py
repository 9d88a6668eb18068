"""Photographs over HTTP: one request, one row, the same as `score` writes for the file."""
