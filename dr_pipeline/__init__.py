"""Grading of diabetic retinopathy from colour fundus photographs, from labels to a deployed model."""

import os

__version__ = "0.2.0"

# From 1.29 on, ONNX Runtime reports sessions, with hashes of models, to its maker unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
