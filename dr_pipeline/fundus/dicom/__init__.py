"""DICOM files: recognised, checked and decoded to RGB."""
