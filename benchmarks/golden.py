"""Proof that a refactoring changes no output: records hashes of whole runs, and compares two records.

    python -m benchmarks.golden record --code CHECKOUT --work FOLDER --out before.json
        [--idrid FOLDER --weights FILE] [--bundle BUNDLE] [--zoo FOLDER] [--latency FOLDER]
        [--epochs N] [--threads N]
    python -m benchmarks.golden compare before.json after.json
    python -m benchmarks.golden figures --code CHECKOUT --done WORK/default --bundle BUNDLE --photograph FILE --out FILE

`record` clones the committed code of CHECKOUT, so that no cache is shared and every stage runs; an interrupted record
continues. It runs the default recipe; with --idrid, the recipe `idrid --only lite0` to `split`, two epochs of fold 0
and the export; with --bundle, scoring of the IDRiD folder and of the zoo (`release` of tests/factories/zoo.py into
ZOO/2); with --zoo, its intake and preprocessing; with --latency, the stages from `select` on once more, with these
latency reports instead of measured ones: a measured one can choose another candidate in each run, so only these
outputs are recorded. --epochs shortens the trainings of the default, and --threads 1 keeps them quick on a busy
machine.
Only the command line and files are used, so that the script also runs older code.
The latency budget is lifted: the speed of a busy machine must not choose the candidate.

`compare` exits with 1 if anything differs that `golden_comparison.DECLARED` does not list.
`figures` counts the package's lines and times the commands a user waits for.
"""

import argparse
import importlib.metadata
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.golden_comparison import Document, Entry, compare, describe, describe_photographs, load, write

LIBRARIES = ("torch", "timm", "lightning-fabric", "onnx", "onnxruntime", "numpy", "opencv-python-headless", "scipy")
THREADS = "OMP_NUM_THREADS"  # a float sum depends on it: both records need the same
CALLS = 5  # of each timed command
# As in dvc.yaml, but for the latency reports and the place of the outputs.
REPLAYED = (
    "select --params params.yaml --exports data/exports --validation data/validation --latency {latency} "
    "--validation-reports reports/validation --report {out}/selection.json",
    "package --selection {out}/selection.json --exports data/exports --validation data/validation --latency {latency} "
    "--validation-reports reports/validation --gradability data/gradability.json --canvases data/canvases --splits "
    "data/splits.csv --audited data/audited.csv --statuses data/gradability.csv --out {out}/release",
    "test --params params.yaml --bundle {out}/release --canvases data/canvases --splits data/splits.csv --gradability "
    "data/gradability.csv --audited data/audited.csv --predictions {out}/test.csv --report {out}/test.json --openings "
    "{out}/openings.jsonl",
    "report --intake reports/intake.json --audit reports/audit.json --split reports/split.json --gradability "
    "reports/gradability.json --training reports/training --validation reports/validation --validation-predictions "
    "data/validation --latency {latency} --selection {out}/selection.json --test {out}/test.json --test-predictions "
    "{out}/test.csv --canvases data/canvases --bundle {out}/release --machine reports/machine.json "
    "--external reports/external --out {out}/index.html --metrics {out}/metrics.json --checklists "
    "{out}/checklists.html --curves {out}/curves --cases {out}/cases.html --confusion {out}/confusion.png --pareto "
    "{out}/pareto.png --training-curves {out}/training.png --reliability {out}/reliability.png",
)
# What the default run makes of measured latencies.
RELEASED = (
    "data/release/*",
    "data/test_predictions.csv",
    "reports/selection.json",
    "reports/test*",
    "reports/*.png",
    "reports/index.html",
)
BIN = Path(sys.executable).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, metavar="record | compare | figures")
    verb = verbs.add_parser("record")
    verb.set_defaults(run=record)
    for flag in ("--code", "--work", "--out"):
        verb.add_argument(flag, type=Path, required=True)
    for flag in ("--idrid", "--weights", "--bundle", "--zoo", "--latency"):
        verb.add_argument(flag, type=Path)
    for flag in ("--epochs", "--threads"):
        verb.add_argument(flag, default="")
    verb = verbs.add_parser("compare")
    verb.set_defaults(run=lambda args: sys.exit(compare(load(args.before), load(args.after))))
    verb.add_argument("before", type=Path)
    verb.add_argument("after", type=Path)
    verb = verbs.add_parser("figures")
    verb.set_defaults(run=figures)
    for flag in ("--code", "--done", "--bundle", "--photograph", "--out"):
        verb.add_argument(flag, type=Path, required=True)
    args = parser.parse_args()
    args.run(args)


def record(args: argparse.Namespace) -> None:
    os.environ.pop(THREADS, None)
    if args.threads:
        os.environ[THREADS] = args.threads
    work = args.work.resolve()
    default = clone(args.code, work / "default")
    edit_params(default, latency_budget_ms="10000.0")
    if args.epochs:
        edit_params(default, epochs=args.epochs, referable_sensitivity_floor="0.0")
    call(default, default, "dvc", "repro")
    if args.idrid:
        idrid = clone(args.code, work / "idrid")
        run_idrid(idrid, args.idrid.resolve(), args.weights.resolve())
    scoring = empty(work / "scoring")
    for name, folder in (("idrid", args.idrid), ("zoo", args.zoo)):
        if args.bundle and folder:
            bundle, out = args.bundle.resolve(), scoring / f"{name}.csv"
            call(default, scoring, "dr-pipeline", "score", folder.resolve(), "--bundle", bundle, "--out", out)
    if args.zoo:
        preprocess_zoo(default, scoring, args.zoo.resolve())
    if args.latency:
        replay(default, empty(work / "replay"), args.latency.resolve())
    document = {
        "commit": git("-C", default, "rev-parse", "HEAD"),
        "environment": environment() | {"epochs": args.epochs, "threads": args.threads},
        "work": str(work),
        "artefacts": artefacts(work, measured=not args.latency),
    }
    write(args.out, document)


def clone(code: Path, folder: Path) -> Path:
    """A clone without recorded results, so that every stage runs; an existing one is used as it is."""
    if not folder.exists():
        git("clone", "--quiet", "--no-hardlinks", code.resolve(), folder)
        (folder / "dvc.lock").unlink()
        shutil.rmtree(folder / "reports")
    command = [sys.executable, "-c", "import dr_pipeline; print(dr_pipeline.__file__)"]
    run = subprocess.run(command, cwd=folder, env=variables(folder), capture_output=True, text=True, check=True)
    if not Path(run.stdout.strip()).is_relative_to(folder):
        sys.exit(f"the package is imported from {run.stdout.strip()}, not from {folder}")
    return folder


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def git(*arguments: object) -> str:
    command = ["git", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def run_idrid(code: Path, root: Path, weights: Path) -> None:
    call(code, code, "dr-pipeline", "recipe", "idrid", "--root", root, "--weights", weights, "--only", "lite0")
    edit_params(code, latency_budget_ms="10000.0", epochs="2")
    call(code, code, "dvc", "repro", "split")
    call(code, code, "dvc", "repro", "export@lite0")


def preprocess_zoo(code: Path, folder: Path, root: Path) -> None:
    call(code, folder, "dr-pipeline", "recipe", "folder", "--root", root)
    edit_params(folder, labels='""')
    read = ("--params", "params.yaml", "--root", "data/source", "--manifest", "manifest.csv")
    call(code, folder, "dr-pipeline", "intake", *read, "--readings", "readings.csv", "--report", "intake.json")
    call(code, folder, "dr-pipeline", "preprocess", *read, "--out", "canvases")


def replay(code: Path, folder: Path, latency: Path) -> None:
    """Selection, packaging, test and report of a finished run, on given latency reports instead of measured ones."""
    for command in REPLAYED:
        words = [word.format(latency=latency, out=f"../{folder.name}") for word in command.split()]
        call(code, code, "dr-pipeline", *words)


def edit_params(folder: Path, **values: str) -> None:
    """Sets keys of params.yaml wherever they occur; a key that does not occur is an error."""
    path = folder / "params.yaml"
    text = path.read_text(encoding="utf-8")
    for key, value in values.items():
        text, count = re.subn(rf"^( +{key}:) [^ #\n]*", rf"\g<1> {value}", text, flags=re.MULTILINE)
        if not count:
            sys.exit(f"{path} has no key {key}")
    path.write_text(text, encoding="utf-8")


def variables(code: Path) -> dict[str, str]:
    """The environment of a run: the clone's package and this Python's programs."""
    quiet = {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "NO_ALBUMENTATIONS_UPDATE": "1"}
    return os.environ | quiet | {"PYTHONPATH": str(code), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def call(code: Path, folder: Path, *command: object) -> None:
    print("$", *command, flush=True)
    subprocess.run([str(word) for word in command], cwd=folder, env=variables(code), check=True)


def environment() -> Document:
    libraries = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"cores": os.cpu_count(), "python": sys.version.split()[0], "libraries": libraries}


def artefacts(work: Path, *, measured: bool) -> dict[str, Entry]:
    """Every output below `work` without links; `measured` includes what follows from measured latencies."""
    released = set() if measured else {path for pattern in RELEASED for path in work.glob(f"default/{pattern}")}
    roots = [work / run / name for run in ("default", "idrid") for name in ("data", "reports")]
    paths = {path for root in (*roots, work / "scoring", work / "replay") for path in below(root)} - released
    photographs = {path for path in paths if path.parent.name == "photographs"}
    entries = {str(path.relative_to(work)): describe(path) for path in sorted(paths - photographs)}
    folders = sorted({path.parent for path in photographs})
    return entries | {str(folder.relative_to(work)): describe_photographs(folder) for folder in folders}


def below(root: Path) -> Iterator[Path]:
    """The files of a folder; links are not followed, nor are inputs and documents included."""
    for folder, _, names in os.walk(root):
        paths = (Path(folder) / name for name in set(names) - {".gitignore", "params.yaml"})
        yield from (path for path in paths if not path.is_symlink() and path != root / "README.md")


def figures(args: argparse.Namespace) -> None:
    """Median wall and processor seconds of several calls; the processor's are the ones to compare on a busy machine."""
    done = args.done.resolve()
    scored = ("--bundle", args.bundle.resolve(), "--out", done / ".scratch" / "one.csv")
    commands: dict[str, Sequence[object]] = {
        "dvc repro, nothing to do": ("dvc", "repro"),
        "dr-pipeline --help": ("dr-pipeline", "--help"),
        "dr-pipeline score, one photograph": ("dr-pipeline", "score", args.photograph.resolve(), *scored),
    }
    lines = sum(path.read_bytes().count(b"\n") for path in (args.code / "dr_pipeline").rglob("*.py"))
    document: Document = {"environment": environment(), "package lines": lines}
    for name, command in commands.items():
        walls, processors = zip(*(seconds(done, command) for _ in range(CALLS)), strict=True)
        document[name] = {"wall_s": statistics.median(walls), "processor_s": statistics.median(processors), "n": CALLS}
    write(args.out, document)


def seconds(folder: Path, command: Sequence[object]) -> tuple[float, float]:
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(map(str, command)), cwd=folder, env=variables(folder), check=True, capture_output=True)
    after, wall_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(wall_s, 3), round(processor_s, 3)


if __name__ == "__main__":
    main()
