"""Training and inference speed: photographs per second on noise, all networks of an experiment in turns."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from lightning_fabric import Fabric

from dr_pipeline.code_version import code_version
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.files import read_json, sha256_json, write_json
from dr_pipeline.models.grader import create_grader, num_parameters
from dr_pipeline.models.layer_groups import parameter_groups
from dr_pipeline.params.training import Distillation, Objective
from dr_pipeline.processes import keep_freed_memory
from dr_pipeline.schema import NUM_GRADES
from dr_pipeline.training.fabric import device_name, one_device, prepare_grader, set_determinism
from dr_pipeline.training.objectives import GradingLoss, TrainingTask
from dr_pipeline.training.run_identity import versions
from dr_pipeline.training.training_checks import memory_advice

# One step of each network in each turn; ViT-B/16 takes seconds for one on two cores.
_TURNS = 5
METHOD = (
    "training steps (forward, cross-entropy, backward, AdamW) and inference on noise, without loading; all networks of "
    f"the experiment in turns before anything is trained, one step a turn, the median of {_TURNS} turns; arms that "
    "cost the same share one measurement, and an arm's views divide its inference"
)
_OBJECTIVE = Objective(loss="cross_entropy", label_smoothing=0.0, focal_gamma=0.0, kappa_share=1.0)
_NO_TEACHER = Distillation(teacher="none", weight=0.0, temperature=1.0)


def throughputs(arms: Sequence[Settings], scratch: Path, *, machine: str) -> list[dict[str, Any]]:
    """The speeds of all arms, measured together or read from the cache of such a measurement.

    Arms of equal cost share one measurement. Speeds measured at different moments do not compare, so that the cache
    holds all of them or none.

    Args:
        arms: The settings of the arms.
        scratch: Folder of the cache.
        machine: Fingerprint of the machine.

    Returns:
        For each arm the result of `measure`, `inference_images_per_s` divided by its views. Seeds do not count.

    Raises:
        EnvironmentProblem: The memory is full.
        ParamsError: timm knows no such model, or it cannot be changed as an arm requires.
    """
    different = {_cost(settings): settings for settings in reversed(arms)}  # the first of those that cost the same
    key = sha256_json(
        {
            "costs": sorted(different),
            "code_sha256": code_version(__name__),
            "versions": versions(),
            "machine": machine,
            "device": device_name(one_device()),  # with its threads
        }
    )
    path = scratch / "throughput" / f"{key}.json"
    if not path.is_file():
        write_json(path, dict(zip(different, measure(list(different.values())), strict=True)))
    measured = read_json(path)
    return [_of_arm(measured[_cost(settings)], settings) for settings in arms]


def measure(arms: Sequence[Settings]) -> list[dict[str, Any]]:
    """Times training steps (forward, loss, backward, AdamW) and inference at each candidate's batch and input.

    In turns, so that a busy moment affects all alike: each network once, then each once more. The input is noise,
    in the precision of training, with memory and determinism set as for training. Loading, augmentation, compilation,
    distillation and frozen layers are excluded. Of a batch computed in parts (`memory.accumulation`) one part is timed.

    Args:
        arms: One arm per network to be timed.

    Returns:
        `training_images_per_s`, `inference_images_per_s` of one view, `parameters`, `photographs_at_once`, `input_px`,
        `device`, `precision`, `turns`, of each.

    Raises:
        EnvironmentProblem: The memory is full.
    """
    keep_freed_memory(all_of_it=True)
    set_determinism(0)
    benches = [_Bench(settings) for settings in arms]
    seconds: list[list[tuple[float, float]]] = [[] for _ in benches]
    for _ in range(1 + _TURNS):
        for bench, turns in zip(benches, seconds, strict=True):
            turns.append(bench.turn())
    # the first turn builds kernels and fills caches: it is dropped
    return [bench.figures(turns[1:]) for bench, turns in zip(benches, seconds, strict=True)]


class _Bench:
    """One network, ready to be timed.

    Args:
        settings: The settings of an arm.
    """

    def __init__(self, settings: Settings) -> None:
        candidate = self._candidate = settings.candidate
        self._precision = settings.training.precision
        self._fabric = one_device(self._precision)
        self._at_once = _photographs_at_once(settings)
        grader = create_grader(
            candidate.model,
            input_px=candidate.input_px,
            drop_rate=candidate.drop_rate,
            drop_path_rate=candidate.drop_path_rate,
            network=candidate.network,
        )
        self._num_parameters = num_parameters(grader)
        grader = prepare_grader(self._fabric, grader, candidate)
        self._task = self._fabric.to_device(
            TrainingTask(grader, GradingLoss(_OBJECTIVE, torch.ones(NUM_GRADES)), _NO_TEACHER)
        )
        groups = parameter_groups(grader, learning_rate=1e-4, weight_decay=0.01, layer_decay=1.0)
        self._optimizer = torch.optim.AdamW(groups, fused=True)
        shape = (self._at_once, candidate.input_px, candidate.input_px, 3)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        self._images, self._grades = self._fabric.to_device((images, torch.arange(self._at_once) % NUM_GRADES))

    def turn(self) -> tuple[float, float]:
        """Seconds of one training step, and of one inference.

        Raises:
            EnvironmentProblem: The memory is full.
        """
        with memory_advice(self._fabric.device, self._candidate, self._at_once):
            return _seconds(self._train_step, self._fabric), _seconds(self._inference, self._fabric)

    def figures(self, seconds: Sequence[tuple[float, float]]) -> dict[str, Any]:
        """The figures that `measure` returns, from the seconds of the turns."""
        training_s, inference_s = (median(times) for times in zip(*seconds, strict=True))
        return {
            "training_images_per_s": round(self._at_once / training_s, 2),
            "inference_images_per_s": round(self._at_once / inference_s, 2),
            "parameters": self._num_parameters,
            "photographs_at_once": self._at_once,
            "input_px": self._candidate.input_px,
            "device": device_name(self._fabric),
            "precision": self._precision,
            "turns": len(seconds),
        }

    def _train_step(self) -> None:
        self._task.train()
        with self._fabric.autocast():
            loss = self._task(self._images, self._grades, None) / self._at_once
        self._fabric.backward(loss)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _inference(self) -> None:
        self._task.eval()
        with torch.inference_mode(), self._fabric.autocast():
            self._task.grader(self._images)


def _photographs_at_once(settings: Settings) -> int:
    return max(2, settings.candidate.batch_photographs // settings.candidate.memory.accumulation)


def _cost(settings: Settings) -> str:
    """Hash of everything that determines a step's time; objective, schedule and augmentation do not."""
    candidate = settings.candidate
    return sha256_json(
        candidate.model_dump(mode="json", include={"model", "input_px", "drop_rate", "drop_path_rate", "network"})
        | {
            "photographs_at_once": _photographs_at_once(settings),
            "gradient_checkpointing": candidate.memory.gradient_checkpointing,
            "precision": settings.training.precision,
        }
    )


def _of_arm(speed: dict[str, Any], settings: Settings) -> dict[str, Any]:
    views = len(settings.candidate.ensemble.views)  # each view is one more pass of the network
    return speed | {"inference_images_per_s": round(speed["inference_images_per_s"] / views, 2)}


def _seconds(step: Callable[[], None], fabric: Fabric) -> float:
    """Seconds of a step; the device is idle before and after it."""
    started = time.perf_counter()
    step()
    if fabric.device.type == "cuda":
        torch.cuda.synchronize(fabric.device)
    return time.perf_counter() - started
