"""Proposes training parameters from the data and the machine, with the reason of each."""
