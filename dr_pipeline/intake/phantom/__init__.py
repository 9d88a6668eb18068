"""The phantom: synthetic fundus photographs whose only sign of the grade are the lesions that define it."""
