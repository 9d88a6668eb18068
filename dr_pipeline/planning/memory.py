"""How a batch is made to fit into memory."""

import math
from dataclasses import dataclass

from dr_pipeline.models.inspect.complexity import Complexity

_MEMORY_SHARE = 0.7  # `Complexity.training_bytes` was met by 0.9 to 1.25 of it
_CHECKPOINTED = 0.5  # 0.06 to 0.36 were counted to stay; a block that is computed again comes on top
_STEADY_PART = 8  # photographs that give BatchNorm steady statistics


@dataclass(frozen=True)
class Fit:
    """How a batch is made to fit into memory."""

    accumulation: int
    gradient_checkpointing: bool
    bytes_needed: float


def fit_memory(cost: Complexity, batch: int, memory_gib: float) -> Fit | None:
    """The whole batch; else parts down to 8 photographs; else activations computed twice; None where nothing fits."""
    room = _MEMORY_SHARE * memory_gib * 2**30
    for checkpointing, least in ((False, _STEADY_PART), (True, _STEADY_PART), (True, 2)):
        accumulation = 1
        while batch // accumulation >= min(least, batch):
            part = math.ceil(batch / accumulation)
            kept = cost.training_bytes(part) - cost.training_bytes(0)
            needed = cost.training_bytes(0) + kept * (_CHECKPOINTED if checkpointing else 1.0)
            if needed <= room:
                return Fit(accumulation, checkpointing, needed)
            accumulation *= 2
    return None
