"""What the page states of lesions where they were looked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_file
from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.icdr import Counts, second_opinion
from dr_pipeline.lesions.kinds import KINDS
from dr_pipeline.lesions.svg import hex_colour
from dr_pipeline.scoring.lesion_outputs import read_outlines
from dr_pipeline.scoring.outputs import lesion_paths
from dr_pipeline.scoring.run_manifest import manifest_path, read_manifest


def findings_of(predictions: Path) -> Iterator[tuple[str, Findings]]:
    """The hash of each photograph of a table in which lesions were looked for, and what was found; one at a time.

    Raises:
        DataError: The outlines are not those that the table's run wrote.
    """
    manifest = manifest_path(predictions)
    _, outlines = lesion_paths(predictions)
    stated = read_manifest(predictions)["outputs"].get(outlines.name) if manifest.is_file() else None
    if stated is None:  # of a run without lesions
        return
    if not outlines.is_file() or sha256_file(outlines) != stated:
        raise DataError(
            "the outlines of the lesions are missing, or are not those of the table's run",
            where=str(outlines),
            todo="copy them from the run's folder, or run `dr-pipeline score --lesions` again",
        )
    yield from read_outlines(outlines)


def lesion_facts(findings: Findings) -> dict[str, Any]:
    """What the page states of the lesions: name, colour and number of each kind, and the second opinion."""
    counts = [(kind, findings.count(kind.name)) for kind in KINDS if kind.is_lesion]
    opinion = second_opinion(Counts.of(findings))
    return {
        "lesionCounts": [
            [kind.name.replace("_", " "), hex_colour(kind), number] for kind, number in counts if number is not None
        ],
        "opinion": opinion.to_text(),
        "opinionLimits": "; ".join(opinion.limits),
    }
