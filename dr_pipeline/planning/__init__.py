"""A first proposal for training from the data themselves: what they are like, what follows, and why."""
