"""One training by the project's own loop, in a process of its own; prints its figures as one line of JSON.

    python -m benchmarks.training_ours JOB.json

A helper of benchmarks.training, which writes the job. The photographs come from canvases. `cached` puts the first
epoch's batches back in place of the loader in all later epochs: the rate without any loading, by the same loop.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.training_machine import BusyGpu, peak_memory_gib

# A candidate as the recipes have it, but for what a job sets.
_PLAIN: dict[str, Any] = {
    "weights": "none",
    "learning_rate": 0.001,
    "drop_rate": 0.0,
    "drop_path_rate": 0.0,
    "network": {"channels": ["red", "green", "blue"], "norm": "own", "head": "linear"},
    "fine_tuning": {"layer_decay": 1.0, "frozen_epochs": 0, "thaw_epochs": 0},
    "memory": {"accumulation": 1, "gradient_checkpointing": False},
    "ensemble": {"seeds": 1, "folds": False, "combine": "mean", "views": ["identity"]},
}


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        params: params.yaml; its section `training` applies.
        canvases: Folder that `preprocess` wrote.
        splits: Table that `split` wrote.
        image_ids: Training photographs.
        validation_ids: A few, since an epoch ends with validation.
        model: A timm name.
        input_px: Side of the input.
        batch: Photographs.
        epochs: The first is a warm-up and is not counted.
        precision: As in params.yaml.
        augment: With the augmentation of params.yaml; else without any.
        cached: Reuses the first epoch's batches, without a loader.
        compile: torch.compile.
    """

    params: str
    canvases: str
    splits: str
    image_ids: list[str]
    validation_ids: list[str]
    model: str
    input_px: int
    batch: int
    epochs: int
    precision: str
    augment: bool
    cached: bool
    compile: bool


def training_params(job: Job) -> Any:
    """The section `training` of the job's params.yaml with the job's own settings."""
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.params.section import validate
    from dr_pipeline.params.training import Training

    section = load_section(Path(job.params), "training", Training).model_dump(mode="json")
    if not job.augment:
        section["augmentation"] = {name: type(value)(0) for name, value in section["augmentation"].items()}
    section |= {"precision": job.precision, "compile": job.compile}
    return validate(section, Training, where=f"{job.params}, training")


def candidate(job: Job) -> Any:
    """The job as a candidate."""
    from dr_pipeline.params.candidate import Candidate
    from dr_pipeline.params.section import validate

    own = {"model": job.model, "input_px": job.input_px, "epochs": job.epochs, "batch_photographs": job.batch}
    return validate(_PLAIN | own, Candidate, where="the benchmark's job")


def cache_batches() -> None:
    """Makes the loop's loader repeat the first epoch's batches, on the device that computes."""
    import torch

    from dr_pipeline.training import loop

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    class CachedLoader(loop.BatchLoader):
        _cached: list[tuple[torch.Tensor, torch.Tensor]] | None = None

        def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            if self._cached is None:
                self._cached = [(images.to(device), positions) for images, positions in super().__iter__()]
            return iter(self._cached)

    loop.BatchLoader = CachedLoader  # type: ignore[misc]


def train(job: Job, scratch: Path) -> dict[str, Any]:
    """Trains; the rate of each epoch after the first, peak memory, how busy the GPU was."""
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.tables.splits import read_splits
    from dr_pipeline.training.checkpoint import Checkpoint
    from dr_pipeline.training.loop import FitOptions
    from dr_pipeline.training.trainer import TrainingData, train_network

    row_of = {row.image_id: row for row in read_splits(Path(job.splits))}
    busy, rates = BusyGpu(), []

    def on_epoch(row: Any) -> None:
        rates.append(row.images_per_s)
        busy.start()

    if job.cached:
        cache_batches()
    data = TrainingData(
        CanvasStore(Path(job.canvases)),
        [row_of[image_id] for image_id in job.image_ids],
        [row_of[image_id] for image_id in job.validation_ids],
        readings={},
    )
    options = FitOptions(1, Checkpoint(scratch, "benchmark"), on_epoch)
    network = train_network(candidate(job), training_params(job), data, options)
    return {
        "images_per_s": rates[1:],
        "first_epoch_images_per_s": rates[0],
        "gpu_busy_share": busy.stop(),
        "peak_gib": peak_memory_gib(),
        "device": network.device,
    }


def in_own_process(job: Job, folder: Path) -> dict[str, Any]:
    """Runs the job in a fresh interpreter, so that no training inherits another's memory."""
    from benchmarks.training_timm import run_child

    path = folder / "job.json"
    path.write_text(json.dumps(asdict(job)), encoding="utf-8")
    output = run_child([sys.executable, "-m", "benchmarks.training_ours", str(path)])
    return dict(json.loads(output.splitlines()[-1]))


def main() -> None:
    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(train(job, Path(scratch))))


if __name__ == "__main__":
    main()
