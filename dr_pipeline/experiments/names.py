"""The shipped experiments by name; apart from reading them, so that the command line's help needs no YAML."""

NAMES = ("cross_validation", "initialisation", "architectures", "losses", "preprocessing", "resolution", "knobs")
