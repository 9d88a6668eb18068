"""Times two networks alternately in one process, so that a busy machine slows both alike."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.deployment.formats import Logits

_WARM_UP = 5
_BATCH, _BATCHES = 16, 5


@dataclass(frozen=True)
class Speed:
    """The network alone, one thread: from a model input to logits.

    Attributes:
        calls: Timed calls of each network, batch 1.
        p50_ms: Of `calls`.
        p95_ms: Of `calls`.
        files_per_s: Photographs per second in batches of 16, the median of 5.
        speedup: Median time of the reference over that of this network, with its bootstrap interval.
    """

    calls: int
    p50_ms: float
    p95_ms: float
    files_per_s: float
    speedup: dict[str, Any]


def time_against(
    reference: Logits, network: Logits, inputs: Sequence[NDArray[np.uint8]], *, calls: int, seed: int, confidence: float
) -> Speed:
    """Times `network` against `reference`, the one first and the other first by turns.

    Args:
        reference: The float32 ONNX network.
        network: Another format of it; may be the reference itself.
        inputs: Model inputs, uint8 RGB (1, s, s, 3); taken in turns.
        calls: Timed calls of each.
        seed: Of the bootstrap.
        confidence: Such as 0.95.
    """
    both = (reference, network)
    times = np.zeros((calls, 2))
    for index in range(-_WARM_UP, calls):
        pixels = inputs[index % len(inputs)]
        for which in (0, 1) if index % 2 else (1, 0):
            started = time.perf_counter()
            both[which](pixels)
            if index >= 0:
                times[index, which] = time.perf_counter() - started
    drawn = np.random.default_rng(seed).integers(calls, size=(1000, calls))
    medians = np.median(times[drawn], axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians[:, 0] / medians[:, 1], [tail, 1 - tail])
    middle = np.median(times, axis=0)
    p50, p95 = np.quantile(times[:, 1], [0.5, 0.95], method="higher") * 1e3
    return Speed(
        calls=calls,
        p50_ms=float(p50),
        p95_ms=float(p95),
        files_per_s=_files_per_s(network, inputs),
        speedup={"value": float(middle[0] / middle[1]), "low": float(low), "high": float(high), "n": calls},
    )


def _files_per_s(network: Logits, inputs: Sequence[NDArray[np.uint8]]) -> float:
    batch = np.concatenate([inputs[index % len(inputs)] for index in range(_BATCH)])
    network(batch)
    seconds = []
    for _ in range(_BATCHES):
        started = time.perf_counter()
        network(batch)
        seconds.append(time.perf_counter() - started)
    return _BATCH / float(np.median(seconds))
