"""Training throughput: compared with timm's own script, with the rate without loading, and by architecture.

    python -m benchmarks.training --data DIR --photographs ROOT --timm-train train.py --out reports/benchmarks

DIR holds what the pipeline made of a data set (canvases, splits.csv, manifest.csv), ROOT its original photographs.
train.py is the script of the repository huggingface/pytorch-image-models at the tag of the installed timm; it is no
part of timm's package. Writes training-KIND.json, KIND being the GPU's model or the number of cores.

Both programs get the same photographs, model, batch, input, optimiser, moving average, clipping and precision, and no
augmentation. Each training is a process of its own. They alternate, and in each round timm's script runs with each
number of loader processes, of which the best counts. Rates are images per second of whole epochs, loading included,
validation and the first epoch left out: ours by its history, timm's by its own log. timm's canvases are PNGs of the
input's size, so that it has nothing to resize. From originals, timm's script decodes at each epoch; ours makes
canvases once, which is counted for trainings of 1, 5 and 20 epochs. Needs neither DVC nor MLflow.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import training_table
from benchmarks.training_comparison import chosen, compare
from benchmarks.training_machine import describe_training_machine, machine_kind
from benchmarks.training_ours import Job
from dr_pipeline.files import sha256_file, write_json
from dr_pipeline.schema import RESEARCH_USE

# The targets of the issue that requested this benchmark.
BARS = {
    "times_timm_from_canvases": {"cpu": 1.0, "gpu": 1.2},
    "times_timm_from_originals": {"cpu": 1.2, "gpu": 1.2},
    "share_of_the_rate_without_loading": {"cpu": 0.9, "gpu": 0.95},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON file")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="for its section training")
    parser.add_argument("--data", type=Path, help="with canvases/, splits.csv, manifest.csv; none: only the table")
    parser.add_argument("--photographs", type=Path, help="root of the originals; left out where not given")
    parser.add_argument("--timm-train", type=Path, help="timm's train.py; needed with --data")
    parser.add_argument("--timm-train-is", default="timm's train.py", help="what that file is, if not timm's own")
    parser.add_argument("--timm-workers", type=int, nargs="+", default=[0, 1, 2], help="loader processes to try")
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--input-px", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--num", type=int, default=64, help="training photographs")
    parser.add_argument("--epochs", type=int, default=3, help="the first is not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="torch.compile for both")
    parser.add_argument("--table-px", type=int, default=224, help="input of the architecture table")
    parser.add_argument("--table-batch", type=int, default=8)
    parser.add_argument("--table-steps", type=int, default=5, help="0: no table")
    args = parser.parse_args()
    if args.data and not args.timm_train:
        parser.error("--data needs --timm-train")
    if args.epochs < 2:
        parser.error("--epochs must be 2 or more: the first is not counted")
    machine = describe_training_machine()
    precision = "bf16-mixed" if machine["gpus"] else "32-true"
    table = [
        training_table.in_own_process(model, args.table_px, args.table_batch, precision, args.table_steps)
        for model in training_table.ARCHITECTURES
        if args.table_steps
    ]
    result: dict[str, Any] = {
        "model": args.model,
        "input_px": args.input_px,
        "batch": args.batch,
        "epochs": args.epochs,
        "precision": precision,
        "compile": args.compile,
        "bars": BARS,
        "architectures": table,
        "machine": machine,
        "research_use": RESEARCH_USE,
    }
    if args.data:
        result["timm_script"] = {"is": args.timm_train_is, "sha256": sha256_file(args.timm_train)}
        data = args.data.resolve()
        training, validation = chosen(data / "splits.csv", args.num, args.batch)
        job = Job(
            params=str(args.params.resolve()),
            canvases=str(data / "canvases"),
            splits=str(data / "splits.csv"),
            image_ids=list(training),
            validation_ids=list(validation),
            model=args.model,
            input_px=args.input_px,
            batch=args.batch,
            epochs=args.epochs,
            precision=precision,
            augment=False,
            cached=False,
            compile=args.compile,
        )
        script, originals = args.timm_train.resolve(), args.photographs
        with tempfile.TemporaryDirectory() as scratch:
            result |= compare(
                job, script, data, originals, Path(scratch), rounds=args.rounds, workers=args.timm_workers
            )  # fmt: skip
    out = args.out / f"training-{machine_kind(machine)}.json"
    write_json(out, result)
    for key in ("from_canvases", "augmented", "from_originals"):
        figures = result.get(key, {})
        by_epochs = figures.get("times_timm_by_epochs", {})
        for name, figure in (
            figures | {f"times_timm, {count} epochs": by_epochs[count] for count in by_epochs}
        ).items():
            if isinstance(figure, dict) and "median" in figure:
                print(f"{key}: {name} {figure['median']} ({figure['low']} to {figure['high']})")
    print(f"wrote {out.name}")


if __name__ == "__main__":
    main()
