"""One row of the architecture table, measured in a process of its own; prints it as one line of JSON.

    python -m benchmarks.training_table MODEL INPUT_PX BATCH PRECISION STEPS

A helper of benchmarks.training. One batch of random pixels stays on the device, so that the network alone is measured.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.training_machine import peak_memory_gib
from benchmarks.training_timm import run_child

ARCHITECTURES = ("resnet50", "efficientnet_b3", "vit_base_patch16_224", "tf_efficientnet_lite0", "efficientnet_b0")
_WARM_UP_STEPS = 2


def row(model: str, input_px: int, batch: int, precision: str, steps: int) -> dict[str, Any]:
    """Parameters, GMACs, images per second in training and inference, and peak memory of training.

    Args:
        model: A timm name.
        input_px: Side of the input; models with position embeddings are built for it.
        batch: Photographs.
        precision: As in params.yaml.
        steps: Measured ones, after two of warm-up; the median counts.
    """
    import torch
    from lightning_fabric import Fabric

    from dr_pipeline.models.grader import create_grader
    from dr_pipeline.models.inspect.complexity import measure_complexity

    def make() -> Any:
        return create_grader(model, input_px=input_px, drop_rate=0.0, drop_path_rate=0.0)

    with torch.device("meta"):
        cost = measure_complexity(make(), torch.zeros(1, input_px, input_px, 3, dtype=torch.uint8))
    fabric = Fabric(accelerator="auto", devices=1, precision=precision)
    grader = make().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(grader.parameters(), lr=0.001, fused=True)
    network, optimizer = fabric.setup(grader, optimizer)
    images = fabric.to_device(torch.randint(0, 256, (batch, input_px, input_px, 3), dtype=torch.uint8))
    grades = fabric.to_device(torch.arange(batch) % 5)

    def learn() -> None:
        fabric.backward(torch.nn.functional.cross_entropy(network(images), grades))
        optimizer.step()
        optimizer.zero_grad()

    @torch.inference_mode()
    def infer() -> None:
        network(images)

    network.train()
    training = batch / seconds(learn, steps)
    peak = peak_memory_gib()
    network.eval()
    return {
        "model": model,
        "input_px": input_px,
        "batch": batch,
        "parameters": cost.parameters,
        "gmacs": round(cost.total_macs / 1e9, 3),
        "training_images_per_s": round(training, 2),
        "inference_images_per_s": round(batch / seconds(infer, steps), 2),
        "training_peak_gib": peak,
    }


def seconds(work: Callable[[], None], steps: int) -> float:
    """Median time of `work`, waiting for the GPU where there is one."""
    import torch

    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    times = []
    for _ in range(_WARM_UP_STEPS + steps):
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times[_WARM_UP_STEPS:])


def in_own_process(model: str, input_px: int, batch: int, precision: str, steps: int) -> dict[str, Any]:
    """The row of one architecture, from a fresh interpreter: its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.training_table", model, str(input_px), str(batch), precision]
    return dict(json.loads(run_child([*command, str(steps)]).splitlines()[-1]))


def main() -> None:
    model, input_px, batch, precision, steps = sys.argv[1:]
    print(json.dumps(row(model, int(input_px), int(batch), precision, int(steps))))


if __name__ == "__main__":
    main()
