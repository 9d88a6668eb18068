"""Our loop and timm's script alternately, from canvases and from originals. A helper of benchmarks.training."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import training_ours, training_timm
from benchmarks.training_machine import spread
from dr_pipeline.canvases.build import build_store
from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.engines.choice import EngineChoice
from dr_pipeline.schema import GRADES
from dr_pipeline.tables.manifest import ManifestRow, read_manifest
from dr_pipeline.tables.splits import DEVELOPMENT, read_splits

AMORTISED_EPOCHS = (1, 5, 20)
NUM_VALIDATION = 16


def chosen(splits: Path, num: int, batch: int) -> tuple[dict[str, int], dict[str, int]]:
    """Grades by image_id of the training photographs, in whole batches, and of a few for validation.

    Grades alternate, so that each is in the train set. Validation uses training photographs: its figures are not used,
    and its time is not counted.
    """
    rows = [row for row in read_splits(splits) if row.split == DEVELOPMENT]
    by_grade = {grade: [row for row in rows if row.grade == grade] for grade in GRADES}
    turns = sorted(
        (number / len(of_grade), row.image_id, row.grade)
        for of_grade in by_grade.values()
        for number, row in enumerate(of_grade)
    )
    num = min(num, len(turns)) // batch * batch
    if num < 2 * batch:
        raise SystemExit(f"{splits} holds {len(turns)} training photographs; two batches need {2 * batch}")
    training = {image_id: grade for _, image_id, grade in turns[:num]}
    return training, dict(list(training.items())[:NUM_VALIDATION])


def beside_timm(
    script: Path, data: Path, scratch: Path, job: training_ours.Job, *, rounds: int, workers: list[int], cached: bool
) -> dict[str, Any]:
    """Ours and timm's script in turns.

    Args:
        script: timm's train.py.
        data: The pictures in its layout.
        scratch: An empty folder.
        job: Ours.
        rounds: Turns.
        workers: Numbers of loader processes that timm's script is tried with in each turn.
        cached: Ours is run without loading, too.
    """
    settings = training_timm.Settings(
        job.model, job.input_px, job.batch, job.epochs, job.precision, job.compile, training_ours.training_params(job)
    )
    ours, without_loading, theirs, load = [], [], [], []
    for number in range(rounds):
        load.append(round(os.getloadavg()[0], 2))
        ours.append(training_ours.in_own_process(job, scratch))
        if cached:
            without_loading.append(training_ours.in_own_process(replace(job, cached=True), scratch))
        theirs.append({
            str(count): training_timm.train(script, data, scratch, settings, workers=count, num=len(job.image_ids))
            for count in workers
        })  # fmt: skip
        print(f"round {number + 1}: ours {ours[-1]}, timm {theirs[-1]}", flush=True)
    our_rates = [mean_rate(one) for one in ours]
    best = [max(mean_rate(one) for one in turn.values()) for turn in theirs]
    result = {
        "load_before_each_round": load,
        "ours_images_per_s": spread(our_rates),
        "timm_images_per_s": spread(best),
        "times_timm": spread([mine / other for mine, other in zip(our_rates, best, strict=True)]),
        "ours": ours,
        "timm_by_workers": theirs,
    }
    if cached:
        rates = [mean_rate(one) for one in without_loading]
        result["without_loading"] = without_loading
        result["share_of_the_rate_without_loading"] = spread(
            [mine / bare for mine, bare in zip(our_rates, rates, strict=True)]
        )
    return result


def mean_rate(figures: dict[str, Any]) -> float:
    """Images per second over all counted epochs, which have equally many images."""
    rates = figures["images_per_s"]
    return len(rates) / sum(1 / rate for rate in rates)


def canvases_rendered_per_s(manifest: list[ManifestRow], root: Path, out: Path, like: CanvasStore) -> float:
    """Photographs per second of `preprocess` on all cores, into an empty folder."""
    start = time.perf_counter()
    build_store(manifest, root, out, like.pixel_path, num_shards=8, engines=EngineChoice())
    return len(manifest) / (time.perf_counter() - start)


def with_canvases_made(rate: float, made_per_s: float, epochs: int) -> float:
    """Images per second of a training of so many epochs, the making of its canvases included."""
    return 1 / (1 / rate + 1 / (made_per_s * epochs))


def compare(
    job: training_ours.Job,
    script: Path,
    data: Path,
    photographs: Path | None,
    scratch: Path,
    *,
    rounds: int,
    workers: list[int],
) -> dict[str, Any]:
    """From canvases, with and without loading; with augmentation; and from originals where there are some.

    Args:
        job: Ours, from canvases and without augmentation.
        script: timm's train.py.
        data: Folder with manifest.csv.
        photographs: Root of the originals.
        scratch: An empty folder.
        rounds: Turns.
        workers: Numbers of loader processes that timm's script is tried with.
    """
    grade_of = {row.image_id: row.grade for row in read_splits(Path(job.splits))}
    parts = {
        "train": {image_id: grade_of[image_id] for image_id in job.image_ids},
        "validation": {image_id: grade_of[image_id] for image_id in job.validation_ids},
    }
    store = CanvasStore(Path(job.canvases))
    training_timm.folder_of_canvases(scratch / "canvases", store, parts, job.input_px)
    canvases = beside_timm(script, scratch / "canvases", scratch, job, rounds=rounds, workers=workers, cached=True)
    augmented = [training_ours.in_own_process(replace(job, augment=True), scratch) for _ in range(rounds)]
    bare = [mean_rate(one) for one in canvases["without_loading"]]
    shares = [mean_rate(one) / rate for one, rate in zip(augmented, bare, strict=True)]
    result = {
        "photographs": len(job.image_ids),
        "from_canvases": canvases,
        "augmented": {"share_of_the_rate_without_loading": spread(shares), "ours": augmented},
    }
    if photographs is None:
        return result
    manifest = [row for row in read_manifest(data / "manifest.csv") if row.image_id in parts["train"]]
    paths = {row.image_id: photographs / row.path for row in manifest}
    training_timm.folder_of_originals(scratch / "originals", paths, parts)
    made = [canvases_rendered_per_s(manifest, photographs, scratch / f"made-{n}", store) for n in range(rounds)]
    originals = beside_timm(script, scratch / "originals", scratch, job, rounds=rounds, workers=workers, cached=False)
    ours, theirs = originals["ours_images_per_s"]["values"], originals["timm_images_per_s"]["values"]
    del originals["times_timm"]  # without the time to make canvases it would be too favourable
    originals["canvases_made_per_s"] = spread(made)
    originals["times_timm_by_epochs"] = {
        str(epochs): spread([
            with_canvases_made(mine, per_s, epochs) / other
            for mine, per_s, other in zip(ours, made, theirs, strict=True)
        ])
        for epochs in AMORTISED_EPOCHS
    }  # fmt: skip
    return result | {"from_originals": originals}
