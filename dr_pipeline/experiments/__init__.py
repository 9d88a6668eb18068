"""Comparisons by nested, duplicate-safe cross-validation: each arm on the same folds, each fold opened once."""
