"""The graded photographs of a registered version: what `promote` compares. They lie in the version's run.

A team reads the store, so that they have no ids: a photograph and its group are hashes. Who has the split can compute
them; nobody else can turn them back into a name without guessing it.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError, GateError
from dr_pipeline.evaluation.answers import Answers
from dr_pipeline.evaluation.paired_answers import KNOWN_PATIENT, PairedAnswers, pair_rows
from dr_pipeline.files import sha256_bytes
from dr_pipeline.tables.compared import ComparedRow, read_compared, write_compared
from dr_pipeline.tables.graded import GradedRow

PARTS = ("test", "validation")
_DIGITS = 16


def pseudonymous_rows(rows: Iterable[GradedRow], splits_sha256: str) -> list[ComparedRow]:
    """The rows with hashes instead of ids; equal ids of one split have equal hashes."""

    def hashed(text: str) -> str:
        return sha256_bytes(f"{splits_sha256} {text}".encode())[:_DIGITS]

    return [
        ComparedRow(
            photograph=hashed(row.image_id),
            group=KNOWN_PATIENT * row.group.startswith(KNOWN_PATIENT) + hashed(row.group),
            grade=row.grade,
            predicted=row.predicted,
            probabilities=row.probabilities,
            referable=row.referable,
            referable_probability=row.referable_probability,
            status=row.status,
        )
        for row in rows
    ]


def add_evidence(
    client: Any, model: str, version: str, part: str, rows: Iterable[GradedRow], splits_sha256: str
) -> None:
    """Adds the graded photographs of a part to a version; its tag `graded.<part>` has the split."""
    found = client.get_model_version(model, version)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{part}.csv"
        write_compared(path, pseudonymous_rows(rows, splits_sha256), private=True)
        client.log_artifact(found.run_id, str(path), _folder(found))
    client.set_model_version_tag(model, version, f"graded.{part}", splits_sha256)


def pair_evidence(client: Any, challenger: Any, champion: Any, part: str) -> PairedAnswers:
    """The answers of two versions for the photographs of a part.

    Args:
        client: Of MLflow.
        challenger: A model version, as MLflow gives it.
        champion: Likewise.
        part: One of PARTS.

    Raises:
        DataError: A version has none; or they are not of the same photographs, grades and patients.
        GateError: The versions were graded on different splits.
    """
    new, old = (_read_evidence(client, version, part) for version in (challenger, champion))
    _require_same_split(challenger, champion, part)
    where = f"{champion.name}, versions {champion.version} and {challenger.version}"
    return pair_rows(old, new, Answers.of_compared, where=where)


def _read_evidence(client: Any, version: Any, part: str) -> dict[str, ComparedRow]:
    """The graded photographs of a part, by photograph."""
    if f"graded.{part}" not in version.tags:
        raise DataError(
            f"version {version.version} (bundle {version.tags.get('bundle_id')}) has no graded photographs of the "
            f"{part} split",
            where=f"{version.name}, version {version.version}",
            todo=f"run `dvc repro {'test' if part == 'test' else 'package'}` or `dr-pipeline track rebuild` where this "
            f"bundle is data/release, promote --on {next(other for other in PARTS if other != part)}, or compare the "
            "two bundles on other photographs: dr-pipeline compare, then promote --comparison",
        )
    with tempfile.TemporaryDirectory() as folder:
        rows = read_compared(Path(client.download_artifacts(version.run_id, f"{_folder(version)}/{part}.csv", folder)))
    photographs = {row.photograph: row for row in rows}
    if not rows or len(photographs) < len(rows):
        raise DataError(
            f"its table of the {part} split holds no photograph, or one twice",
            where=f"{version.name}, version {version.version}",
            todo="run `dr-pipeline track rebuild` where the version was made",
        )
    return photographs


def _require_same_split(challenger: Any, champion: Any, part: str) -> None:
    ours, theirs = (version.tags[f"graded.{part}"] for version in (challenger, champion))
    if ours != theirs:
        raise GateError(
            f"the versions were graded on different splits: version {challenger.version} on {ours[:16]}, "
            f"the champion, version {champion.version}, on {theirs[:16]}",
            where=f"the {part} split of {champion.name}",
            todo="train and test both on one split (the champion's params.yaml with the present photographs), or "
            "promote with --force REASON",
        )


def _folder(version: Any) -> str:
    return f"predictions/{version.tags['bundle_id']}"
