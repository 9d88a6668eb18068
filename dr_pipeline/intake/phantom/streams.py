"""Independent random streams, so that drawing one thing never shifts another."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a stream of random numbers decides. A stream never reads another one's state."""

    COHORT = 0
    ANATOMY = 1
    VESSELS = 2
    BACKGROUND = 3
    LESIONS = 4
    CAPTURE = 5
    FAULTS = 6
    STRAYS = 7


def generator(seed: int, stream: Stream, patient: int = 0, eye: int = 0) -> np.random.Generator:
    """The generator of one stream of one eye; equal arguments give equal numbers in every process."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, patient, eye)))
