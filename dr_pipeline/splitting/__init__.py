"""Who goes into which split, and the proof that nothing leaks."""
