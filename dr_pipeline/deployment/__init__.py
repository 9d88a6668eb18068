"""From trained networks to the deployed one: export, parity, latency, selection, packaging."""
