"""Complexity of networks and training time per photograph, each computed once: estimated, or measured."""

import time
from dataclasses import dataclass, field

import torch

from dr_pipeline.models.grader import create_grader
from dr_pipeline.models.inspect.complexity import Complexity
from dr_pipeline.models.inspect.model_card import model_card
from dr_pipeline.planning.plan_inputs import TrainingMachine

# Enough for steady times, little enough for any machine's memory.
_MEASURED_BATCH = 8
# Forward once, backward twice: the gradients by the input and by the weights are a product each.
_PASSES = 3
# Fitted to steps of EfficientNet-Lite0, B0, B3, ResNet-50 and ViT-Tiny in float32 (PyTorch 2.15) and scaled to recorded
# trainings of Lite0 (192 px, 30 photographs/s) and B0 (160 px, 34) on two cores of an Intel Xeon server; the estimates
# are within 20 % of these two. Memory traffic, for which activations stand, dominates in depthwise networks.
_MACS_PER_CORE_SECOND = 75e9
_ACTIVATIONS_PER_CORE_SECOND = 80e6
_MEASURED_STEPS = 3


@dataclass(frozen=True)
class NetworkCosts:
    """Counts the complexity of a network at an input side on the meta device, once each."""

    known: dict[tuple[str, int], Complexity] = field(default_factory=dict)

    def __call__(self, model: str, input_px: int) -> Complexity:
        """Complexity for one photograph."""
        if (model, input_px) not in self.known:
            self.known[model, input_px] = model_card(model, input_px=input_px).cost
        return self.known[model, input_px]


@dataclass(frozen=True)
class TrainingSeconds:
    """Seconds to train on one photograph once.

    With `measure` a model is timed at the first side requested; other sides follow by the ratio of the estimates.
    """

    machine: TrainingMachine
    measure: bool
    factors: dict[str, float] = field(default_factory=dict)

    def __call__(self, model: str, input_px: int, cost: Complexity) -> float:
        """By model, side, and complexity at that side."""
        estimate = estimated_seconds(cost, self.machine)
        if not self.measure:
            return estimate
        if model not in self.factors:
            self.factors[model] = measured_seconds(model, input_px=input_px, batch=_MEASURED_BATCH) / estimate
        return estimate * self.factors[model]


def estimated_seconds(cost: Complexity, machine: TrainingMachine) -> float:
    """Seconds to train on one photograph once, on the CPU: an estimate, which another CPU may halve or double."""
    core_seconds = _PASSES * cost.total_macs / _MACS_PER_CORE_SECOND + cost.activations / _ACTIVATIONS_PER_CORE_SECOND
    return core_seconds / machine.cores


def measured_seconds(model: str, *, input_px: int, batch: int) -> float:
    """The same, measured: the quickest of a few steps on random pixels, on the GPU where there is one.

    Loading and augmenting are not included. A GPU computes in bfloat16 where it has it, as `precision: auto` does.

    Raises:
        ParamsError: timm knows no such model.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    grader = create_grader(model, input_px=input_px, drop_rate=0.0, drop_path_rate=0.0)
    grader = grader.to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(grader.parameters(), fused=True)
    images = torch.randint(0, 256, (batch, input_px, input_px, 3), dtype=torch.uint8, device=device)
    seconds = []
    for _ in range(_MEASURED_STEPS + 1):  # the first one warms up
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu and torch.cuda.is_bf16_supported()):
            loss = grader(images).float().logsumexp(1).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:]) / batch
