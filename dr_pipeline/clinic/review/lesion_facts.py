"""What the page states of lesions where they were looked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_file
from dr_pipeline.lesions.findings import DISC_DIAMETER_UM, Findings, FoveaMethod
from dr_pipeline.lesions.icdr import Agreement, Counts, Opinion, agreement, second_opinion
from dr_pipeline.lesions.kinds import HARD_EXUDATES, KINDS
from dr_pipeline.lesions.limits import limits_of
from dr_pipeline.lesions.svg import hex_colour
from dr_pipeline.scoring.lesion_outputs import read_outlines
from dr_pipeline.scoring.outputs import lesion_paths
from dr_pipeline.scoring.run_manifest import manifest_path, read_manifest
from dr_pipeline.tables.predictions import PredictionRow

_FOVEA = {
    FoveaMethod.NETWORK: "found by the network",
    FoveaMethod.DARKEST: "the darkest place near where it is expected",
    FoveaMethod.EXPECTED: "not seen, taken where it is expected",
    FoveaMethod.NONE: "not found",
}


def findings_of(predictions: Path) -> Iterator[tuple[str, Findings]]:
    """The hash of each photograph of a table in which lesions were looked for, and what was found; one at a time.

    Raises:
        DataError: The outlines are not those that the table's run wrote.
    """
    manifest = read_manifest(predictions) if manifest_path(predictions).is_file() else None
    if manifest is None or not manifest["settings"].get("lesions"):
        return
    _, outlines = lesion_paths(predictions)
    # not by its name: a table may be renamed, with what lies beside it
    if not outlines.is_file() or sha256_file(outlines) not in manifest["outputs"].values():
        raise DataError(
            "the outlines of the lesions are missing, or are not those of the table's run",
            where=str(outlines),
            todo="copy them from the run's folder, or run `dr-pipeline score --lesions` again",
        )
    yield from read_outlines(outlines)


def lesion_facts(findings: Findings, row: PredictionRow) -> dict[str, Any]:
    """What the page states of the lesions: name, colour and number of each kind, the second opinion, and landmarks.

    Args:
        findings: What was found.
        row: The photograph's, which has a grade.
    """
    counts = [(kind, findings.count(kind.name)) for kind in KINDS if kind.is_lesion]
    opinion = second_opinion(Counts.of(findings))
    facts = {
        "By the counts (ICDR rules)": opinion.to_text(),
        "Beside the program's grade": _agreement(opinion, row),
        "Limits": "; ".join(limits_of(findings, stated=row.eye)),
        "Optic disc": f"{findings.disc[2]:.0f} px in diameter" if findings.disc else "not found",
        "Fovea": _FOVEA[findings.fovea_method],
        "Nearest hard exudate": _exudates(findings),
    }
    return {
        "lesionCounts": [
            [kind.name.replace("_", " "), hex_colour(kind), number] for kind, number in counts if number is not None
        ],
        "lesionFacts": [[label, text] for label, text in facts.items() if text],
    }


def _agreement(opinion: Opinion, row: PredictionRow) -> str:
    if row.grade is None or row.referable is None:
        return ""
    match agreement(opinion, grade=row.grade, referable=row.referable):
        case Agreement.AGREES:
            return f"agrees with grade {row.grade}"
        case Agreement.GRADE:
            return f"differs from grade {row.grade}"
        case Agreement.REFERABLE:
            one, other = ("program", "counts") if row.referable else ("counts", "program")
            return f"differs from grade {row.grade}: by the {one} referable, by the {other} not"


def _exudates(findings: Findings) -> str:
    """How near the fovea hard exudates come; "" where there are none, or no fovea."""
    nearest = findings.nearest_um(HARD_EXUDATES.name)
    if nearest is None:
        return ""
    within = ", within one disc diameter" if nearest <= DISC_DIAMETER_UM else ""
    return f"{nearest:.0f} µm from the fovea{within}"
