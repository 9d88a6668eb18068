"""Statistics of graded photographs: metrics with intervals, calibration, operating points, gradability, baselines."""
