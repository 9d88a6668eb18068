"""What `score --lesions` writes beside the predictions: the table of lesions, and each lesion's outline."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from dr_pipeline.bundle.identity import BundleIdentity
from dr_pipeline.errors import DataError
from dr_pipeline.files import atomic_write
from dr_pipeline.lesions.findings import DISC_DIAMETER_UM, Findings
from dr_pipeline.lesions.icdr import Counts, agreement, second_opinion
from dr_pipeline.lesions.kinds import HARD_EXUDATES, HEMORRHAGES, KINDS, VENOUS_BEADING
from dr_pipeline.lesions.limits import limits_of
from dr_pipeline.lesions.quadrants import QUADRANTS
from dr_pipeline.schema import Status
from dr_pipeline.scoring.journal import Journal, Scored
from dr_pipeline.scoring.outputs import Format, GrowingTable, encoder, lesion_paths, write_table
from dr_pipeline.scoring.prediction_rows import text_cell
from dr_pipeline.tables.lesions import LESIONS, LesionRow

OUTLINES_VERSION = 2
_SIGNIFICANT_UM = 500.0


def write_lesions(out: Path, journal: Journal, bundle: BundleIdentity) -> None:
    """Writes the table of lesions, in the format of the predictions, and the outlines, each whole or not at all.

    Args:
        out: The table of predictions.
        journal: The run's, all of whose files are scored.
        bundle: The run's.
    """
    rows = (lesion_row(scored, bundle) for scored in journal.scored())
    table, outlines = lesion_paths(out)
    write_table(table, LESIONS, rows)
    with atomic_write(outlines, private=True) as stream:
        for scored in journal.scored():
            stream.write(encode_outlines([scored], lesions_id=bundle.lesions_id))


class GrowingLesions:
    """The same while a folder is watched: both files grow by whole rows. A context manager.

    Args:
        out: The table of predictions, .csv or .jsonl.
        journal: The run's, whose scored files are the first rows.
        bundle: The run's.

    Raises:
        OSError: A file cannot be written.
    """

    def __init__(self, out: Path, journal: Journal, bundle: BundleIdentity) -> None:
        self._bundle = bundle
        table, outlines = lesion_paths(out)
        with ExitStack() as stack:
            rows = (lesion_row(scored, bundle) for scored in journal.scored())
            self._rows = stack.enter_context(GrowingTable(table, encoder(Format.of(out), LESIONS), rows))
            encode = partial(encode_outlines, lesions_id=bundle.lesions_id)
            self._outlines = stack.enter_context(GrowingTable(outlines, encode, journal.scored()))
            self._stack = stack.pop_all()

    @property
    def num_rows(self) -> int:
        """Files whose lesions both files hold."""
        return min(self._rows.num_rows, self._outlines.num_rows)

    def add(self, scored: Scored) -> None:
        """Adds one file."""
        self._rows.add([lesion_row(scored, self._bundle)])
        self._outlines.add([scored])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()


def lesion_row(scored: Scored, bundle: BundleIdentity) -> LesionRow:
    """The row of one file, scored with this bundle."""
    score = scored.score
    grading = score.grading if score.status is Status.SCORED else None
    row = LesionRow(
        image_id=scored.image_id,
        path=text_cell(scored.entry.relative),
        sha256=score.sha256,
        status=score.status,
        needs_human=grading is None or grading.needs_human,  # as in the table of predictions
        bundle_id=bundle.bundle_id,
        lesions_id=bundle.lesions_id,
    )
    if score.lesions is None or grading is None:
        return row
    findings = score.lesions.findings
    opinion = second_opinion(Counts.of(findings))
    return replace(
        row,
        network_grade=grading.grade,
        rule_low=int(opinion.low),
        rule_high=int(opinion.high),
        agreement=str(agreement(opinion, grade=grading.grade, referable=grading.referable)),
        evidence=opinion.evidence,
        limits="; ".join(limits_of(findings, stated=score.person.eye)),
        **_counts(findings),
        **_places(findings),
    )


def _counts(findings: Findings) -> dict[str, Any]:
    lesions = [kind.name for kind in KINDS if kind.is_lesion]
    hemorrhages = findings.by_quadrant(HEMORRHAGES.name)
    beading = findings.by_quadrant(VENOUS_BEADING.name)
    return {
        **{kind: findings.count(kind) for kind in lesions},
        **{f"{kind}_mm2": findings.area_mm2(kind) for kind in lesions},
        **{f"hemorrhages_{place}": None if hemorrhages is None else hemorrhages.get(place, 0) for place in QUADRANTS},
        "venous_beading_quadrants": None if beading is None else len(beading),
    }


def _places(findings: Findings) -> dict[str, Any]:
    disc, fovea = findings.disc or (None, None, None), findings.fovea or (None, None)
    nearest = findings.nearest_um(HARD_EXUDATES.name)
    looked_for = findings.fovea is not None and HARD_EXUDATES.name in findings.kinds
    return {
        "exudate_fovea_um": nearest,
        "exudate_within_1dd": (nearest is not None and nearest <= DISC_DIAMETER_UM) if looked_for else None,
        "exudate_within_500um": (nearest is not None and nearest <= _SIGNIFICANT_UM) if looked_for else None,
        "side": findings.side,
        **dict(zip(("disc_x", "disc_y", "disc_diameter"), disc, strict=True)),
        **dict(zip(("fovea_x", "fovea_y"), fovea, strict=True)),
        "fovea_method": str(findings.fovea_method),
        "yardstick": str(findings.yardstick),
        "um_per_px": findings.um_per_px,
    }


def encode_outlines(several: Iterable[Scored], *, lesions_id: str) -> bytes:
    """Their lesions as JSON Lines; `lesions_id` says which network found them."""
    values = (outlines_of(scored, lesions_id=lesions_id) for scored in several)
    lines = (json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values)
    return "".join(f"{line}\n" for line in lines).encode()


def outlines_of(scored: Scored, *, lesions_id: str) -> dict[str, Any]:
    """One file's lesions for JSON: positions in px of the upright original, lengths in µm."""
    score = scored.score
    findings = score.lesions.findings if score.lesions else None
    return {
        "schema_version": OUTLINES_VERSION,
        "image_id": scored.image_id,
        "sha256": score.sha256,
        "lesions_id": lesions_id,
        "findings": None if findings is None else asdict(findings),
    }


def read_outlines(path: Path) -> Iterator[tuple[str, Findings]]:
    """The hash of each file that has findings, and these, one at a time.

    Raises:
        DataError: The file is malformed, or another version's.
    """
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                value = json.loads(line)
                findings = value["findings"] and Findings.from_dict(value["findings"])
                known = value["schema_version"] == OUTLINES_VERSION
            except (ValueError, KeyError, TypeError):
                known = False
            if not known:
                raise DataError(
                    "not a line of outlines of this version",
                    where=f"{path}, line {number}",
                    todo="run `dr-pipeline score --lesions` again",
                )
            if findings:
                yield value["sha256"], findings
