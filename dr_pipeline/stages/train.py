"""Fine-tunes one candidate on one fold and keeps the epoch with the best validation QWK.

The weights are an exponential moving average. An interrupted training goes on at the last finished epoch when it is
started again with the same parameters and data.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS = ("training", "candidates.{candidate}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--candidate", required=True, help="a key of `candidates` in params.yaml")
    parser.add_argument("--fold", type=int, required=True, help="the fold that validates")
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `preprocess` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--history", type=Path, required=True, help="CSV, one row per epoch")
    parser.add_argument("--report", type=Path, required=True, help="JSON figures")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for unfinished training")


def run(args: argparse.Namespace) -> Outcome:
    """Trains and writes weights, history and figures."""
    from dataclasses import asdict, fields
    from importlib.metadata import version

    from monai.utils import set_determinism

    from dr_pipeline.files import sha256_file, sha256_json, write_csv, write_json
    from dr_pipeline.fundus.canvases import CanvasStore
    from dr_pipeline.models.factory import create_grader, family, normalisation, num_parameters
    from dr_pipeline.models.weights import initialise, write_tensors
    from dr_pipeline.params.candidate import Candidate
    from dr_pipeline.params.load import load_section
    from dr_pipeline.params.training import Training
    from dr_pipeline.schema import Split
    from dr_pipeline.splitting.read import part, read_splits
    from dr_pipeline.tracking.run import tracked
    from dr_pipeline.training.augment import augmenter
    from dr_pipeline.training.checkpoint import Checkpoint
    from dr_pipeline.training.dataset import GradedCanvases
    from dr_pipeline.training.launch import device_name, make_fabric, num_loader_workers
    from dr_pipeline.training.loop import Epoch, fit

    params = load_section(args.params, "training", Training)
    candidate = load_section(args.params, f"candidates.{args.candidate}", Candidate)
    store = CanvasStore(args.canvases)
    rows = read_splits(args.splits)

    set_determinism(params.seed)
    fabric = make_fabric(params.precision)
    grader = create_grader(
        candidate.model,
        input_px=candidate.input_px,
        drop_rate=candidate.drop_rate,
        drop_path_rate=candidate.drop_path_rate,
    )
    weights_source = initialise(grader, model=candidate.model, weights=candidate.weights)

    def photographs(split: Split, *, augmented: bool) -> GradedCanvases:
        chosen = part(rows, split, args.fold)
        return GradedCanvases(
            store,
            [row.image_id for row in chosen],
            [row.grade for row in chosen],
            input_px=candidate.input_px,
            augment=augmenter(params.augmentation) if augmented else None,
            seed=params.seed,
        )

    identity = {
        "candidate": candidate.model_dump(mode="json"),
        "training": params.model_dump(mode="json"),
        "fold": args.fold,
        "splits_sha256": sha256_file(args.splits),
        "canvas_index_sha256": sha256_file(args.canvases / "index.csv"),
        "pixel_path": store.pixel_path.to_dict(),
    }
    name = f"{args.candidate}-{args.fold}"
    with tracked("train", candidate=args.candidate, fold=args.fold) as run_:
        run_.params({**identity["candidate"], **{f"training.{k}": v for k, v in identity["training"].items()}})

        def on_epoch(row: Epoch) -> None:
            run_.metrics({key: float(value) for key, value in asdict(row).items() if key != "epoch"}, step=row.epoch)

        checkpoint = Checkpoint(args.scratch / name, sha256_json(identity))
        trained = fit(
            fabric,
            grader,
            photographs(Split.TRAIN, augmented=True),
            photographs(Split.VALIDATION, augmented=False),
            candidate=candidate,
            params=params,
            num_workers=num_loader_workers(fabric),
            checkpoint=checkpoint,
            on_epoch=on_epoch,
        )
        norm = normalisation(candidate.model)
        write_tensors(trained.weights, args.out / "model.safetensors")
        write_json(
            args.out / "model.json",
            {
                "schema_version": 1,
                "candidate": args.candidate,
                "fold": args.fold,
                "model": candidate.model,
                "family": family(candidate.model),
                "parameters": num_parameters(grader),
                "input_px": candidate.input_px,
                "mean": norm.mean,
                "std": norm.std,
                "weights": weights_source,
                "best_epoch": trained.best.epoch,
                "pixel_path": identity["pixel_path"],
                "splits_sha256": identity["splits_sha256"],
                "canvas_index_sha256": identity["canvas_index_sha256"],
                "versions": {package: version(package) for package in ("timm", "torch")},
            },
        )
        write_csv(args.history, [field.name for field in fields(Epoch)], [asdict(row) for row in trained.history])
        seconds = sum(row.seconds for row in trained.history)
        write_json(
            args.report,
            {
                "training": {
                    name: {
                        "model": candidate.model,
                        "parameters": num_parameters(grader),
                        "weights": weights_source,
                        "epochs": len(trained.history),
                        "best_epoch": trained.best.epoch,
                        "validation_qwk": trained.best.validation_qwk,
                        "seconds": round(seconds, 1),
                        "images_per_s": max(row.images_per_s for row in trained.history),
                        "device": device_name(fabric),
                    }
                }
            },
        )
        run_.artifact(args.history)
    checkpoint.remove()
    return Outcome(
        wrote=(args.out, args.history, args.report),
        headline=(
            f"{name}: validation QWK {trained.best.validation_qwk:.3f} at epoch {trained.best.epoch + 1} of "
            f"{candidate.epochs}, {seconds:.0f} s on {device_name(fabric)} "
            "(the epoch was chosen by it: `validate` gives the figure to quote)"
        ),
        next_command=f"dvc repro export@{args.candidate}",
    )
