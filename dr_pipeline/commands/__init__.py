"""The user's verbs beside the DVC stages: score, verify, recipe, track."""
