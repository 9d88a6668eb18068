"""Limits of a photograph's file, for those who list files and decode none."""

# 200 megapixels of 16-bit RGB, uncompressed, with room for metadata.
MAX_FILE_BYTES = 1_300_000_000
