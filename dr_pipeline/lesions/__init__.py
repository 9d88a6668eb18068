"""Lesions and landmarks: their kinds, what is counted of them, and the rules that a grade follows from counts."""
