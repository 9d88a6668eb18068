"""From a trained network to the one that ships: export, parity, latency, selection."""
