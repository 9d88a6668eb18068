"""How fast a network learns and answers here: photographs per second on noise, by the same steps for every arm."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from dr_pipeline.experiments.identity import code_sha256
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.files import read_json, sha256_json, write_json
from dr_pipeline.models.factory import create_grader, num_parameters
from dr_pipeline.models.layers import checkpoint_gradients, parameter_groups
from dr_pipeline.schema import NUM_GRADES
from dr_pipeline.training.launch import device_name, one_device
from dr_pipeline.training.objectives import GradingLoss
from dr_pipeline.training.task import Task

# Steps of each kind: the first ones build kernels and fill caches, and do not count. The median of a few is steady,
# and ViT-B/16 takes seconds for each on two cores.
_WARMUP_STEPS = 1
_STEPS = 3


def throughput(settings: Settings, scratch: Path, *, machine: str) -> dict[str, Any]:
    """`measure`, or what it gave earlier for the same values and code on the same machine.

    Args:
        settings: Of the arm.
        scratch: Folder of what is kept.
        machine: Its fingerprint.
    """
    key = sha256_json({"settings": settings.to_dict(), "code_sha256": code_sha256(), "machine": machine})
    path = scratch / "throughput" / f"{key}.json"
    if not path.is_file():
        write_json(path, measure(settings))
    return dict(read_json(path))


def measure(settings: Settings) -> dict[str, Any]:
    """Times training steps (forward, loss, backward, AdamW) and inference at the candidate's batch and input.

    Loading and augmenting are not in it, nor are compiling, distillation and frozen layers: on noise of the input's
    shape, in the precision that training has. A batch that is computed in parts (`memory.accumulation`) is timed by one
    part. An arm's views count in inference, its seeds do not.

    Returns:
        `training_images_per_s`, `inference_images_per_s`, `parameters`, `photographs_at_once`, `input_px`, `device`,
        `precision`, `steps`.
    """
    candidate, training = settings.candidate, settings.training
    grader = create_grader(
        candidate.model,
        input_px=candidate.input_px,
        drop_rate=candidate.drop_rate,
        drop_path_rate=candidate.drop_path_rate,
        network=candidate.network,
        loss=training.objective.loss,
    )
    if candidate.memory.gradient_checkpointing:
        checkpoint_gradients(grader)
    fabric = one_device(training.precision)
    batch = max(2, candidate.batch_photographs // candidate.memory.accumulation)
    input_px = candidate.input_px
    generator = torch.Generator().manual_seed(training.seed)
    images = torch.randint(0, 256, (batch, input_px, input_px, 3), dtype=torch.uint8, generator=generator)
    grades = torch.arange(batch) % NUM_GRADES
    images, grades = fabric.to_device((images, grades))
    task = Task(grader, GradingLoss(training.objective, torch.ones(NUM_GRADES)), training.distillation)
    groups = parameter_groups(
        grader,
        learning_rate=candidate.learning_rate,
        weight_decay=training.weight_decay,
        layer_decay=candidate.fine_tuning.layer_decay,
    )
    task = fabric.to_device(task.to(memory_format=torch.channels_last))
    optimizer = torch.optim.AdamW(groups, fused=True)

    def learn() -> None:
        task.train()
        with fabric.autocast():
            loss = task(images, grades, None) / batch
        fabric.backward(loss)
        optimizer.step()
        optimizer.zero_grad()

    def answer() -> None:
        task.eval()
        with torch.inference_mode(), fabric.autocast():
            for _ in candidate.ensemble.views:
                grader(images)

    return {
        "training_images_per_s": round(batch / _median_seconds(learn, fabric), 2),
        "inference_images_per_s": round(batch / _median_seconds(answer, fabric), 2),
        "parameters": num_parameters(grader),
        "photographs_at_once": batch,
        "input_px": input_px,
        "device": device_name(fabric),
        "precision": training.precision,
        "steps": _STEPS,
    }


def _median_seconds(step: Callable[[], None], fabric: Fabric) -> float:
    seconds = []
    for _ in range(_WARMUP_STEPS + _STEPS):
        started = time.perf_counter()
        step()
        if fabric.device.type == "cuda":
            torch.cuda.synchronize(fabric.device)
        seconds.append(time.perf_counter() - started)
    return sorted(seconds[_WARMUP_STEPS:])[_STEPS // 2]
