"""A DICOM node: photographs in by C-STORE, scored, a structured report for each out by C-STORE."""
