"""The phantom: synthetic fundus photographs in which only the lesions that define a grade reveal it."""
