"""Does a self-supervised start help where grades are few? IDRiD with 25, 50 and 100 % of its grades.

`python -m benchmarks.self_supervised --project FOLDER --cameras FOLDER --out reports/benchmarks/self_supervised.json`

FOLDER is a project in which intake, preprocess and audit have run on IDRiD's 413 photographs; --cameras adds further
photographs without grades. Nested folds as in `dr-pipeline experiment`: for each outer fold, SimSiam continues from the
ImageNet weights on the fold's training part (all of it, without grades) and the further photographs; neither the inner
validation part nor the outer fold is seen. Then one network is fine-tuned from the ImageNet weights and one from the
pretrained encoder, with the same part of the grades, drawn by group and stratified by grade. The outer folds are
predicted once, pooled, and compared by a paired bootstrap over groups. Self-supervision costs time: where grades are
few, a third network is fine-tuned for longer instead (--longer-epochs).
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dr_pipeline.canvases.store import CanvasStore
from dr_pipeline.evaluation.image_metrics import figures, resampling
from dr_pipeline.experiments.nested_folds import NestedFold, eligible_photographs, nested_folds
from dr_pipeline.experiments.out_of_fold import OutOfFold, pool_folds
from dr_pipeline.experiments.outer_fold import RunContext, run_outer_fold
from dr_pipeline.experiments.settings import Settings
from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.machine import describe_machine
from dr_pipeline.metrics.bootstrap import paired_qwk_difference
from dr_pipeline.models.weights.checkpoint_files import write_tensors
from dr_pipeline.models.weights.packages import KNOWN_PACKAGES
from dr_pipeline.params.candidate import Candidate
from dr_pipeline.params.evaluation import Evaluation, OperatingPoint
from dr_pipeline.params.params_file import load_section
from dr_pipeline.params.pretraining import Pretraining
from dr_pipeline.params.training import Training
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.splitting.groups import Group, bridges_of, group_photographs
from dr_pipeline.splitting.stratified import assign_groups
from dr_pipeline.tables.manifest import read_manifest
from dr_pipeline.training.checkpoint import Checkpoint
from dr_pipeline.training.self_supervised.photographs import DATA_SET, Photographs, with_folder
from dr_pipeline.training.self_supervised.pretrain import checkpoint_key, initial_encoder, pretrain

MODEL = "tf_efficientnet_lite0"
IMAGENET = KNOWN_PACKAGES[MODEL].reference
FRACTIONS = (0.25, 0.5, 1.0)
SALT = "self-supervised"


def labelled(nested: NestedFold, groups: Sequence[Group], fraction: float) -> NestedFold:
    """The nested fold with this part of its training groups; a smaller part is not a part of a larger one."""
    if fraction == 1:
        return nested
    training = {row.image_id for row in nested.training}
    own = [group for group in groups if group.photographs[0].image_id in training]
    drawn = assign_groups(own, {"graded": fraction, "rest": 1 - fraction}, f"{SALT}/{nested.fold}/{fraction}")
    kept = {photograph.image_id for group in own if drawn[group.key] == "graded" for photograph in group.photographs}
    return replace(nested, training=tuple(row for row in nested.training if row.image_id in kept))


def encoder_of(
    params: Pretraining, nested: NestedFold, store: CanvasStore, cameras: Path | None, work: Path
) -> tuple[str, dict[str, Any]]:
    """`weights` of the encoder that this fold's training part gives, and the figures of its training."""
    names = tuple(f"{DATA_SET}/{row.image_id}" for row in nested.training)
    photographs = Photographs({DATA_SET: store}, names, {})
    if cameras is not None:
        held_out = {row.image_id for row in (*nested.validation, *nested.outer)}
        photographs = with_folder(photographs, cameras, held_out, scratch=work / "cameras")
    path = work / f"encoder-{nested.fold}.safetensors"
    checkpoint = Checkpoint(work / f"pretrain-{nested.fold}", checkpoint_key(params, photographs))
    trained = pretrain(
        params, initial_encoder(params), photographs, checkpoint, on_epoch=lambda row: print(row, flush=True)
    )
    write_tensors(trained.tensors, path)
    history = [asdict(row) for row in trained.history]
    return f"file:{path}#{sha256_file(path)}", trained.figures(params, photographs) | {"history": history}


def settings_of(candidate: Candidate, training: Training, name: str, weights: str) -> Settings:
    return Settings(name, {}, False, candidate.model_copy(update={"weights": weights}), training, "none")


def run(args: argparse.Namespace) -> dict[str, Any]:
    started = time.process_time()
    params_file, store = args.project / "params.yaml", CanvasStore(args.project / "data" / "canvases")
    training = load_section(params_file, "training", Training)
    evaluation = load_section(params_file, "evaluation", Evaluation)
    targets = load_section(params_file, "operating_point", OperatingPoint)
    candidate = load_section(params_file, "candidates.lite0", Candidate).model_copy(
        update={"model": MODEL, "weights": IMAGENET, "input_px": args.input_px, "epochs": args.epochs}
    )
    pretraining = Pretraining(
        model=MODEL,
        weights=IMAGENET,
        photographs=str(args.cameras or store.root),
        seed=training.seed,
        input_px=args.input_px,
        epochs=args.pretraining_epochs,
        batch_photographs=args.pretraining_batch,
        learning_rate=args.pretraining_rate,
        weight_decay=1e-4,
        precision="auto",
        crop_area=0.4,
        augmentation=training.augmentation.model_copy(
            update={"brightness": 0.3, "contrast": 0.3, "saturation": 0.2, "hue": 0.03, "blur_probability": 0.2}
        ),
    )
    audited = read_manifest(args.project / "data" / "audited.csv")
    groups = group_photographs(eligible_photographs(audited, None), bridges_of(audited))
    folds = nested_folds(groups, args.folds, SALT)
    encoders = [encoder_of(pretraining, nested, store, args.cameras, args.work) for nested in folds]
    context = RunContext({}, args.work)

    def arm(name: str, fraction: float, weights: Sequence[str], epochs: int = args.epochs) -> OutOfFold:
        scheduled = candidate.model_copy(update={"epochs": epochs})
        parts = [labelled(nested, groups, fraction) for nested in folds]
        results = [
            run_outer_fold(
                settings_of(scheduled, training, name, source), part, store, context,
                label=f"{name}, {fraction:.0%}, fold {part.fold}", before_opening=lambda: None,
            )
            for part, source in zip(parts, weights, strict=True)
        ]  # fmt: skip
        return pool_folds(folds, results, targets, seed=evaluation.bootstrap_seed)

    def compared() -> Iterator[dict[str, Any]]:
        for fraction in FRACTIONS:
            imagenet = arm("imagenet", fraction, [IMAGENET] * len(folds))
            own = arm("self_supervised", fraction, [weights for weights, _ in encoders])
            arms = {"imagenet": imagenet, "self_supervised": own}
            if fraction < 1:
                arms["imagenet_longer"] = arm("longer", fraction, [IMAGENET] * len(folds), args.longer_epochs)
            grades, clusters = imagenet.grades, imagenet.groups
            row: dict[str, Any] = {
                "fraction": fraction,
                "graded_photographs": [len(labelled(nested, groups, fraction).training) for nested in folds],
            }
            for name, predicted in arms.items():
                row[name] = figures(predicted.decided, grades, clusters, evaluation)
                if predicted is not own:
                    difference = paired_qwk_difference(
                        grades, own.decided.grade, predicted.decided.grade, clusters, **resampling(evaluation)
                    )
                    row[f"qwk_self_supervised_minus_{name}"] = difference.to_dict()
                    print(f"{fraction:.0%} of the grades, minus {name}: {difference}", flush=True)
            yield row

    fractions = list(compared())
    return {
        "photographs": sum(len(nested.outer) for nested in folds),
        "folds": args.folds,
        "fine_tuning": candidate.model_dump(mode="json"),
        "longer_epochs": args.longer_epochs,
        "training": training.model_dump(mode="json"),
        "pretraining": pretraining.model_dump(mode="json", exclude={"photographs"}),
        "encoders": [facts for _, facts in encoders],
        "by_fraction": fractions,
        "cpu_seconds": round(time.process_time() - started),
        "machine": describe_machine(),
        "research_use": RESEARCH_USE,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--cameras", type=Path)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--input-px", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--longer-epochs", type=int, default=30)
    parser.add_argument("--pretraining-epochs", type=int, default=15)
    parser.add_argument("--pretraining-batch", type=int, default=32)
    parser.add_argument("--pretraining-rate", type=float, default=1e-3)
    parser.add_argument("--work", type=Path, required=True, help="folder for canvases and unfinished training")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write_json(args.out, run(args))


if __name__ == "__main__":
    main()
