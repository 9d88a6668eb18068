"""Grading of diabetic retinopathy from colour fundus photographs, from labels to a deployed model."""

__version__ = "0.2.0"
