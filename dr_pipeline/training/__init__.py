"""Fine-tuning of one candidate on one fold.

Read in this order: train_candidate (all networks of a candidate), trainer (one network), loop (its epochs).
"""
