"""timm's own training script beside ours: the same pictures in its layout, the same settings, its own log.

A helper of benchmarks.training. The script is no part of timm's package: train.py of the repository
huggingface/pytorch-image-models at the installed version's tag.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.training_machine import BusyGpu
from dr_pipeline.canvases.render import encode_png
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.machine import usable_cores

REPOSITORY = Path(__file__).resolve().parents[1]
# "Train: 1 [   7/8 (100%)]  Loss: 1.6 (1.7)  Time: 0.4s, 20.00/s  (0.500s,   16.00/s) …": epoch, mean rate in it.
_LOGGED = re.compile(r"Train: (\d+) \[.*?/s\s+\([\d.]+s,\s*([\d.]+)/s\)")


@dataclass(frozen=True)
class Settings:
    """What both programs are given.

    Attributes:
        model: A timm name.
        input_px: Side of the input.
        batch: Photographs.
        epochs: The first is a warm-up and is not counted.
        precision: `32-true` on a CPU, `bf16-mixed` on a GPU.
        compile: torch.compile.
        training: The section `training` of params.yaml.
    """

    model: str
    input_px: int
    batch: int
    epochs: int
    precision: str
    compile: bool
    training: Any


def run_child(command: Sequence[str]) -> str:
    """Standard output of a child with as many threads as there are cores; its error output where it fails."""
    child = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, env=environment())
    if child.returncode:
        raise SystemExit(f"{' '.join(command[:3])} failed:\n{child.stderr[-3000:]}")
    return child.stdout


def environment() -> dict[str, str]:
    """This process's, with one thread a core."""
    return os.environ | {"OMP_NUM_THREADS": str(usable_cores())}


def folder_of_canvases(out: Path, store: CanvasStore, parts: Mapping[str, Mapping[str, int]], input_px: int) -> None:
    """Writes PNGs by part and grade at the size of the input, so that nothing is left to resize.

    Args:
        out: Folder to fill.
        store: The canvases.
        parts: Grade by image_id, for `train` and `validation`.
        input_px: Side of the pictures.
    """
    for part, grades in parts.items():
        for image_id, grade in grades.items():
            _place(out, part, grade, f"{image_id}.png").write_bytes(
                encode_png(model_input(store.read(image_id), input_px))
            )


def folder_of_originals(out: Path, paths: Mapping[str, Path], parts: Mapping[str, Mapping[str, int]]) -> None:
    """Links the original photographs by part and grade; each epoch decodes them."""
    for part, grades in parts.items():
        for image_id, grade in grades.items():
            original = paths[image_id].resolve()
            _place(out, part, grade, f"{image_id}{original.suffix}").symlink_to(original)


def _place(out: Path, part: str, grade: int, name: str) -> Path:
    folder = out / part / str(grade)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def command_line(script: Path, data: Path, out: Path, settings: Settings, *, workers: int, steps: int) -> list[str]:
    """The script's command line for these settings; it logs the first and the last step of an epoch.

    Args:
        script: timm's train.py.
        data: In the layout of an ImageFolder.
        out: Folder for its checkpoints.
        settings: As ours has them.
        workers: Loader processes.
        steps: Of an epoch.
    """
    given, on_gpu = settings.training, settings.precision != "32-true"
    options = {
        "data-dir": data,
        "model": settings.model,
        "num-classes": 5,
        "img-size": settings.input_px,
        "crop-pct": 1.0,
        "batch-size": settings.batch,
        "epochs": settings.epochs,
        "warmup-epochs": 0,
        "opt": "adamw",
        "lr": 0.001,
        "weight-decay": given.weight_decay,
        "clip-grad": given.clip_norm,
        "smoothing": given.objective.label_smoothing,
        "model-ema-decay": given.ema_decay,
        "workers": workers,
        "device": "cuda" if on_gpu else "cpu",
        "log-interval": max(1, steps - 1),
        "checkpoint-hist": 1,
        "output": out,
    }
    flags = ["no-aug", "model-ema", "channels-last", "sched-on-updates"]
    if on_gpu:
        flags += ["amp", "pin-mem"]
        options["amp-dtype"] = "bfloat16"
    if settings.compile:
        options["torchcompile"] = "inductor"
    named = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, str(script), *named, *(f"--{flag}" for flag in flags)]


def train(script: Path, data: Path, scratch: Path, settings: Settings, *, workers: int, num: int) -> dict[str, Any]:
    """Runs the script; the rate of each epoch after the first by its own log, and how busy the GPU was."""
    steps = num // settings.batch  # a batch that is not full is left out
    command = command_line(script, data, scratch / "timm", settings, workers=workers, steps=steps)
    busy, lines = BusyGpu(), []
    child = subprocess.Popen(
        command, cwd=scratch, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in child.stdout or ():
        lines.append(line)
        if "Train: 1 " in line:
            busy.start()
    share = busy.stop()
    shutil.rmtree(scratch / "timm", ignore_errors=True)
    rates = epoch_rates("".join(lines))
    if child.wait() or len(rates) != settings.epochs:
        raise SystemExit(f"{script.name} failed:\n{''.join(lines[-40:])}")
    return {"images_per_s": rates[1:], "first_epoch_images_per_s": rates[0], "gpu_busy_share": share}


def epoch_rates(log: str) -> list[float]:
    """Images per second of each epoch: the mean over its steps, as logged last in the epoch."""
    rates = {int(epoch): float(rate) for epoch, rate in _LOGGED.findall(log)}
    return [rates[epoch] for epoch in sorted(rates)]
