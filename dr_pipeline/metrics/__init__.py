"""Agreement, error and calibration: pure functions on arrays, without torch."""
