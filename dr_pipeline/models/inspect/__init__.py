"""What networks are: catalogue, cost, comparison and features."""
