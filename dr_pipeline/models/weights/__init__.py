"""Initial weights: checkpoint files read without pickles, matched to a network tensor by tensor."""
