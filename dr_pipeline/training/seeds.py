"""Seeds made of other seeds."""

import numpy as np


def derived_seed(*parts: int) -> int:
    """One 32-bit seed from several numbers (NumPy's SeedSequence: well mixed, stable across platforms)."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
