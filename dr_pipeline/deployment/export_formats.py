"""Writes a deployed network in other formats: one row per format, kept only where it decides as the network does.

The gate is the same for all: figures on every validation photograph, through the format's own runtime. Float32 formats
may change nothing. Others may change as many grades and referrals as declared, must keep the paired difference of QWK
within a declared margin, and must be faster on this machine: else they are removed again, and the row states why.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.session import OnnxModel
from dr_pipeline.deployment.format_source import Deployed
from dr_pipeline.deployment.format_speed import Speed, time_against
from dr_pipeline.deployment.formats import ExportFormat, Logits, export_format
from dr_pipeline.deployment.parity import (
    EXACT,
    Parity,
    Tolerance,
    compare_decisions,
    decision_refusal,
    require_parity,
)
from dr_pipeline.errors import DrPipelineError, GateError
from dr_pipeline.evaluation.inference import canvas_logits
from dr_pipeline.files import write_json
from dr_pipeline.fundus.pixel_path import model_input
from dr_pipeline.logs import logger
from dr_pipeline.machine import describe_machine, installed_version
from dr_pipeline.metrics.bootstrap import paired_qwk_difference, qwk_estimate
from dr_pipeline.schema import RESEARCH_USE

REPORT = "formats.json"
_TIMED_PHOTOGRAPHS = 32
_LINE = "{:<14} {:<8} {:>6} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>7}"
_PACKAGES = ("numpy", "onnx", "onnxruntime", "openvino", "safetensors", "timm", "torch")


class FormatStatus(StrEnum):
    """What became of a format."""

    KEPT = "kept"
    REFUSED = "refused"  # it decides differently, or is not worth it; removed
    FAILED = "failed"  # it could not be written or run


@dataclass(frozen=True)
class FormatLimits:
    """What a format must hold to be kept.

    Attributes:
        tolerance: Of formats that are not float32.
        qwk_margin: The lower end of the paired interval of QWK, format minus float32, must be at least its negative.
        calls: Timed calls.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.
        confidence: Such as 0.95.
    """

    tolerance: Tolerance = field(default_factory=lambda: Tolerance(probability=1.0, grades=0.05, referrals=0.02))
    qwk_margin: float = 0.01
    calls: int = 200
    replicates: int = 2000
    seed: int = 20
    confidence: float = 0.95


@dataclass(frozen=True)
class FormatFigures:
    """Attributes:
    megabytes: On disk, 10⁶ bytes.
    parity: Against the float32 network, by the fitted decision.
    qwk: On the validation photographs, with interval.
    qwk_difference: Minus the float32 network's, paired, with interval.
    speed: One thread.
    """

    megabytes: float
    parity: Parity
    qwk: dict[str, Any]
    qwk_difference: dict[str, Any]
    speed: Speed


@dataclass(frozen=True)
class FormatRow:
    """Attributes:
    name: A key of FORMATS.
    status: Kept, refused or failed.
    reason: Why; empty where it is kept.
    figures: None where it could not be written or run.
    """

    name: str
    status: FormatStatus
    reason: str = ""
    figures: FormatFigures | None = None


def export_formats(deployed: Deployed, names: Sequence[str], out: Path, limits: FormatLimits) -> list[FormatRow]:
    """Writes each format below `out`, and formats.json with the rows.

    Args:
        deployed: The network and its validation photographs.
        names: Keys of FORMATS.
        out: Folder to write; of what is there, only files of the same formats are replaced.
        limits: When a format is kept.

    Raises:
        ParamsError: A format is unknown.
        GateError: Not one format is kept; formats.json says why.
    """
    formats = {name: export_format(name) for name in names}
    out.mkdir(parents=True, exist_ok=True)
    check = _Check(deployed, limits)
    rows = []
    for name, export in formats.items():
        logger.info("%s", name)
        row = _row(name, export, check, out / export.name)
        if row.status is not FormatStatus.KEPT:
            _remove(out / export.name)
        rows.append(row)
    write_json(out / REPORT, _document(rows, check))
    if not any(row.status is FormatStatus.KEPT for row in rows):
        raise GateError(
            "no format was kept: " + "; ".join(f"{row.name} {row.status}: {row.reason}" for row in rows),
            where=str(out / REPORT),
        )
    return rows


def format_table(rows: Sequence[FormatRow]) -> str:
    """The rows as text: one line per format, then the reason of each that is not kept."""
    header = ("format", "status", "MB", "QWK", "grades", "referral", "p50 ms", "p95 ms", "files/s", "speed")
    cells = [header, *((row.name, row.status, *_cells(row.figures)) for row in rows)]
    lines = [_LINE.format(*values).rstrip() for values in cells]
    return "\n".join([*lines, *(f"{row.name} {row.status}: {row.reason}" for row in rows if row.reason)])


def _cells(figures: FormatFigures | None) -> tuple[str, ...]:
    if figures is None:
        return ("",) * 8
    parity, speed, qwk = figures.parity, figures.speed, figures.qwk["value"]
    return (
        f"{figures.megabytes:.1f}",
        "undefined" if qwk is None else f"{qwk:.4f}",
        f"{parity.changed_grades}/{parity.n}",
        f"{parity.changed_referrals}/{parity.n}",
        f"{speed.p50_ms:.2f}",
        f"{speed.p95_ms:.2f}",
        f"{speed.files_per_s:.0f}",
        f"{speed.speedup['value']:.2f}×",
    )


class _Check:
    """The float32 network's answers, and the comparison of another's with them."""

    def __init__(self, deployed: Deployed, limits: FormatLimits) -> None:
        self.deployed, self.limits = deployed, limits
        rows = deployed.validation
        self.image_ids = [row.image_id for row in rows]
        self.groups = [row.group for row in rows]
        self.true = np.array([row.grade for row in rows], dtype=np.int64)
        self.reference = OnnxModel(deployed.source.onnx, threads=1).logits
        self.expected = self.logits(self.reference)
        px = deployed.source.input_px
        timed = self.image_ids[:_TIMED_PHOTOGRAPHS]
        self.inputs = [model_input(deployed.store.read(image_id), px)[np.newaxis] for image_id in timed]

    def logits(self, network: Logits) -> NDArray[np.float32]:
        """Of every validation photograph."""
        return canvas_logits(network, self.deployed.store, self.image_ids, self.deployed.source.input_px)

    def figures(self, network: Logits, path: Path) -> FormatFigures:
        """What `network`, loaded from `path`, does on the validation photographs."""
        decision, limits = self.deployed.decision, self.limits
        found = self.logits(network)
        grades, expected = decision.apply(found).grade, decision.apply(self.expected).grade
        seed, confidence, replicates = limits.seed, limits.confidence, limits.replicates
        qwk = qwk_estimate(self.true, grades, self.groups, replicates=replicates, seed=seed, confidence=confidence)
        difference = paired_qwk_difference(
            self.true, grades, expected, self.groups, replicates=replicates, seed=seed, confidence=confidence
        )
        return FormatFigures(
            megabytes=_megabytes(path),
            parity=compare_decisions(decision, self.expected, found),
            qwk=qwk.to_dict(),
            qwk_difference=difference.to_dict(),
            speed=time_against(
                self.reference,
                network,
                self.inputs,
                calls=limits.calls,
                seed=seed,
                confidence=confidence,
            ),
        )


def _row(name: str, export: ExportFormat, check: _Check, path: Path) -> FormatRow:
    """Writes, loads and checks one format. Whatever goes wrong in its libraries is a row."""
    try:
        _remove(path)
        export.write(check.deployed.source, path)
        figures = check.figures(export.load(path, threads=1), path)
    except GateError as error:
        return FormatRow(name, FormatStatus.REFUSED, error.what)
    except DrPipelineError as error:
        return FormatRow(name, FormatStatus.FAILED, f"{error.what}; {error.todo}" if error.todo else error.what)
    except Exception as error:  # converters raise what they like; one format must not end the others
        first_line = str(error).partition("\n")[0][:200]
        logger.warning("%s failed", name, exc_info=True)
        return FormatRow(name, FormatStatus.FAILED, f"{type(error).__name__}: {first_line}")
    reason = refusal(figures, exact=export.exact, limits=check.limits)
    return FormatRow(name, FormatStatus.REFUSED if reason else FormatStatus.KEPT, reason, figures)


def refusal(figures: FormatFigures, *, exact: bool, limits: FormatLimits) -> str:
    """Why a format is not kept; empty: it is.

    Args:
        figures: Its figures.
        exact: Whether it is float32: then the decisions alone count, and they must be equal.
        limits: Of other formats.
    """
    if exact:
        try:
            require_parity(figures.parity, where="", tolerance=EXACT)
        except GateError as error:
            return error.what
        return ""
    reason = decision_refusal(
        figures.parity, figures.qwk_difference, tolerance=limits.tolerance, qwk_margin=limits.qwk_margin
    )
    speedup = figures.speed.speedup
    if not reason and speedup["low"] <= 1:
        return f"not faster here: {speedup['value']:.2f} times ({speedup['low']:.2f} to {speedup['high']:.2f})"
    return reason


def _document(rows: Sequence[FormatRow], check: _Check) -> dict[str, Any]:
    facts = check.deployed.source.facts
    return {
        "schema_version": 1,
        "research_use": RESEARCH_USE,
        "model": facts["model"],
        "input_px": facts["input_px"],
        "graded_by": facts["ensemble"]["validated_by"],
        "limits": asdict(check.limits),
        "machine": describe_machine(),
        "versions": {name: installed_version(name) for name in _PACKAGES},
        "formats": [asdict(row) for row in rows],
    }


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
