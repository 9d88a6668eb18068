"""Trains an encoder on photographs without their grades (SimSiam), for candidates to start from.

It continues from the weights that the section `pretraining` of params.yaml names, on the photographs of the data set
and of a further folder. Test and validation photographs, and what belongs to them, are left out. An interrupted
training resumes after the last finished epoch.
"""

import argparse
from pathlib import Path

from dr_pipeline.stages.outcome import Outcome

PARAMS: tuple[str, ...] = ("pretraining.{name}",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the paths that dvc.yaml gives."""
    parser.add_argument("--name", required=True, help="entry of the section `pretraining` in params.yaml")
    parser.add_argument("--fold", type=int, required=True, help="the fold whose validation part is left out")
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--canvases", type=Path, required=True, help="folder that `preprocess` wrote")
    parser.add_argument("--audited", type=Path, required=True, help="table that `audit` wrote")
    parser.add_argument("--splits", type=Path, required=True, help="table that `split` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the encoder's weights, safetensors")
    parser.add_argument("--history", type=Path, required=True, help="CSV, one row per epoch")
    parser.add_argument("--report", type=Path, required=True, help="JSON figures")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for unfinished training and canvases")


def run(args: argparse.Namespace) -> Outcome:
    """Trains and writes the encoder, its history and its figures.

    Raises:
        DataError: A table or folder is missing or wrong, or there are too few photographs.
        ParamsError: The section is wrong, or the model or its weights are not there.
        GateError: The loss is not finite, or the projections have collapsed.
        EnvironmentProblem: The memory or the disk is full.
    """
    from dr_pipeline.canvases.store import CanvasStore
    from dr_pipeline.files import sha256_file, write_json
    from dr_pipeline.logs import logger
    from dr_pipeline.models.weights.checkpoint_files import write_tensors
    from dr_pipeline.params.params_file import load_section
    from dr_pipeline.params.pretraining import Pretraining
    from dr_pipeline.tables.manifest import read_manifest
    from dr_pipeline.tables.pretraining import PretrainingRow, write_pretraining
    from dr_pipeline.tables.splits import read_splits
    from dr_pipeline.tracking.run import tracked
    from dr_pipeline.training.checkpoint import Checkpoint
    from dr_pipeline.training.run_identity import require_disjoint
    from dr_pipeline.training.self_supervised.photographs import collect_photographs
    from dr_pipeline.training.self_supervised.pretrain import checkpoint_key, initial_encoder, pretrain

    params = load_section(args.params, f"pretraining.{args.name}", Pretraining)
    store = CanvasStore(args.canvases)
    require_disjoint(
        params.weights,
        where=f"{args.params}, pretraining.{args.name}.weights",
        splits_sha256=sha256_file(args.splits),
        canvas_index_sha256=sha256_file(store.index_path),
        fold=args.fold,
    )
    encoder = initial_encoder(params)
    folder = args.scratch / f"pretrain-{args.name}"
    photographs = collect_photographs(
        store,
        read_manifest(args.audited),
        read_splits(args.splits),
        args.fold,
        folder=Path(params.photographs),
        scratch=folder / "canvases",
    )
    left_out = ", ".join(f"{number} {reason}" for reason, number in photographs.left_out.items()) or "none"
    logger.info("%d photographs to learn from; left out: %s", len(photographs.names), left_out)

    def show(row: PretrainingRow) -> None:
        minutes = row.seconds * (params.epochs - 1 - row.epoch) / 60
        logger.info(
            "epoch %d/%d: loss %.3f, spread %.3f, %.1f photographs/s, about %.0f minutes left",
            row.epoch + 1, params.epochs, row.loss, row.spread, row.images_per_s, minutes,
        )  # fmt: skip

    checkpoint = Checkpoint(folder, checkpoint_key(params, photographs))
    with tracked("pretrain"):
        trained = pretrain(params, encoder, photographs, checkpoint, on_epoch=show)
        write_tensors(trained.tensors, args.out)
        write_pretraining(args.history, trained.history)
        sha256 = sha256_file(args.out)
        write_json(args.report, {"pretraining": {args.name: trained.figures(params, photographs) | {"sha256": sha256}}})
    checkpoint.remove()
    last = trained.history[-1]
    return Outcome(
        wrote=(args.out, args.history, args.report),
        headline=f"{args.name}: {len(photographs.names)} photographs, {len(trained.history)} epochs, loss "
        f"{trained.history[0].loss:.3f} → {last.loss:.3f}, spread {last.spread:.2f}; whether grading "
        "gains by it, only a candidate that starts from it can show",
        next_command=f"set weights: file:{args.out}#{sha256} of a candidate with the model {params.model}",
    )
