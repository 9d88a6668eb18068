"""Everything the report shows, read once from the pipeline's files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dr_pipeline.deployment.candidate_formats import candidate_of, is_cascade
from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.graded_images import Graded
from dr_pipeline.files import read_json
from dr_pipeline.reporting.layer_tables import Layers, layers_path, read_layers_by_time
from dr_pipeline.tables.graded import read_graded
from dr_pipeline.tables.history import EpochRow, read_history

_SYNTHETIC = "synthetic"  # the adapter of the phantom


@dataclass(frozen=True)
class Sources:
    """The documents as their stages wrote them.

    Attributes:
        intake: reports/intake.json.
        audit: reports/audit.json.
        split: reports/split.json.
        gradability: The figures of reports/gradability.json.
        training: The figures of each training by its name, such as `lite0-0`.
        histories: Its epochs.
        layers: Its layers before and after; of several members, the first one's.
        validation: The validation figures of each candidate.
        latency: The latency of each candidate.
        selection: reports/selection.json.
        test: The figures of reports/test.json.
        graded: The test photographs with the readers' and the bundle's grades.
        bundle: metadata.json of the bundle.
        machine: reports/machine.json.
        external: The report of each other data set that the bundle was validated on, by its name.
    """

    intake: Mapping[str, Any]
    audit: Mapping[str, Any]
    split: Mapping[str, Any]
    gradability: Mapping[str, Any]
    training: dict[str, Mapping[str, Any]]
    histories: dict[str, list[EpochRow]]
    layers: dict[str, Layers]
    validation: dict[str, Mapping[str, Any]]
    latency: dict[str, Mapping[str, Any]]
    selection: Mapping[str, Any]
    test: Mapping[str, Any]
    graded: Graded
    bundle: Mapping[str, Any]
    machine: Mapping[str, Any]
    external: dict[str, Mapping[str, Any]]

    @property
    def is_synthetic(self) -> bool:
        """Whether the photographs are drawn and show no person."""
        return bool(self.intake["adapter"] == _SYNTHETIC)

    @property
    def graded_elsewhere(self) -> bool:
        """Whether another data set was graded; one that is drawn shows nothing about a grader of photographs."""
        adapters = {report["protocol"]["adapter"] for report in self.external.values()}
        return bool(adapters if self.is_synthetic else adapters - {_SYNTHETIC})

    def grades_by_role(self) -> dict[str, dict[str, int]]:
        """Photographs by grade in the training, validation and test parts of the deployed network."""
        validation = f"fold {self.bundle['model']['fold']}"
        parts: dict[str, dict[str, int]] = {}
        for name, part in self.split["parts"].items():
            role = "test" if name == "test" else "validation" if name == validation else "training"
            sums = parts.setdefault(role, dict.fromkeys(part["by_grade"], 0))
            for grade, count in part["by_grade"].items():
                sums[grade] += count
        return {role: parts[role] for role in ("training", "validation", "test")}

    @property
    def chosen(self) -> str:
        """The deployed candidate."""
        return str(self.selection["chosen"])

    @property
    def referable_threshold(self) -> float:
        """The operating point that the bundle ships, fitted on validation."""
        return float(self.bundle["decision"]["referable_threshold"])


@dataclass(frozen=True)
class ReportFiles:
    """Where the stages wrote; `training`, `validation`, `latency` and `external` are folders with a file per item."""

    intake: Path
    audit: Path
    split: Path
    gradability: Path
    training: Path
    validation: Path
    latency: Path
    selection: Path
    test: Path
    test_predictions: Path
    bundle: Path
    machine: Path
    external: Path
    cascade_figures: Path | None = None  # without: no cascade is a candidate


def read_sources(files: ReportFiles) -> Sources:
    """Reads the files.

    Files of candidates that are not in the selection belong to a former params.yaml and are ignored.

    Raises:
        DataError: A file is missing, or its entries are not as its stage writes them.
    """
    selected = read_json(files.selection)
    listed = [line["candidate"] for line in selected["candidates"]]
    candidates = {candidate_of(name) for name in listed if not is_cascade(name)}  # without their formats
    names = sorted(candidates)
    trained = [path for path in sorted(files.training.glob("*.csv")) if path.stem.rpartition("-")[0] in candidates]
    test, graded = _entry(files.test, "test"), Graded.of(read_graded(files.test_predictions))
    bundle = read_json(files.bundle / "metadata.json")
    cascades = read_json(files.cascade_figures) if files.cascade_figures else {}
    _require_of_one_test(test, graded, bundle, where=str(files.test))
    return Sources(
        intake=read_json(files.intake),
        audit=read_json(files.audit),
        split=read_json(files.split),
        gradability=_entry(files.gradability, "gradability"),
        training=_merged([path.with_suffix(".json") for path in trained], "training", files.training),
        histories={path.stem: read_history(path) for path in trained},
        layers={path.stem: read_layers_by_time(layers_path(files.training, path.stem)) for path in trained},
        validation=_merged([files.validation / f"{name}.json" for name in names], "validation", files.validation)
        | cascades.get("validation", {}),
        latency=_merged([files.latency / f"{name}.json" for name in names], "latency", files.latency)
        | cascades.get("latency", {}),
        selection=selected,
        test=test,
        graded=graded,
        bundle=bundle,
        machine=read_json(files.machine),
        external=read_external(files.external, bundle_id=bundle["bundle_id"]),
    )


def read_external(folder: Path, *, bundle_id: str) -> dict[str, Mapping[str, Any]]:
    """The external validations of a bundle, by data set; none where the stage `external` is off.

    Raises:
        DataError: One is of another bundle, or no file of the stage.
    """
    reports: dict[str, Mapping[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        for name, report in _entry(path, "external").items():
            if report["bundle_id"] != bundle_id:
                raise DataError(
                    f"figures of bundle {report['bundle_id']}, not of {bundle_id}, which the report is about",
                    where=str(path),
                    todo="run `dvc repro`, which validates again, or remove the file of a former params.yaml",
                )
            reports[name] = report
    return reports


def _require_of_one_test(test: Mapping[str, Any], graded: Graded, bundle: Mapping[str, Any], *, where: str) -> None:
    """Raises DataError where figures, predictions and bundle are not of one run of `test`."""
    if test["bundle_id"] != bundle["bundle_id"]:
        what = f"figures of bundle {test['bundle_id']}, not of {bundle['bundle_id']}, which the report is about"
    elif test["n"] != len(graded.image_ids):
        what = f"figures of {test['n']} photographs, and the table of predictions holds {len(graded.image_ids)}"
    else:
        return
    raise DataError(what, where=where, todo="run `dvc repro test`, which writes both again")


def _merged(paths: Sequence[Path], key: str, folder: Path) -> dict[str, Mapping[str, Any]]:
    merged: dict[str, Mapping[str, Any]] = {}
    for path in paths:
        merged |= _entry(path, key)
    if not merged:
        raise DataError("holds no figures", where=str(folder), todo="run `dvc repro`, which writes them")
    return merged


def _entry(path: Path, key: str) -> dict[str, Any]:
    document = read_json(path)
    if key not in document:
        raise DataError(f"has no entry {key!r}", where=str(path), todo="remove it and run `dvc repro`")
    return dict(document[key])
