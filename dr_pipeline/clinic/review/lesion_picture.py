"""What lies over a full picture where lesions were looked for: an SVG of their outlines, in the photograph's pixels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dr_pipeline.errors import DataError
from dr_pipeline.files import read_json, sha256_file
from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.icdr import Counts, second_opinion
from dr_pipeline.lesions.kinds import KINDS, Kind
from dr_pipeline.scoring.lesion_outputs import read_outlines
from dr_pipeline.scoring.outputs import lesion_paths
from dr_pipeline.scoring.run_manifest import manifest_path

_LINE_FRACTION = 1 / 900  # of the picture's width
_FILL_OPACITY = 0.3


def findings_of(predictions: Path) -> Iterator[tuple[str, Findings]]:
    """The hash of each photograph of a table in which lesions were looked for, and what was found; one at a time.

    Raises:
        DataError: The outlines are not those that the table's run wrote.
    """
    manifest = manifest_path(predictions)
    _, outlines = lesion_paths(predictions)
    stated = read_json(manifest)["outputs"].get(outlines.name) if manifest.is_file() else None
    if stated is None:  # of a run without lesions
        return
    if not outlines.is_file() or sha256_file(outlines) != stated:
        raise DataError(
            "the outlines of the lesions are missing, or are not those of the table's run",
            where=str(outlines),
            todo="copy them from the run's folder, or run `dr-pipeline score --lesions` again",
        )
    yield from read_outlines(outlines)


def lesion_svg(findings: Findings, frame: tuple[float, float, float, float]) -> str:
    """The outlines as a picture that covers the photograph's.

    Args:
        findings: What was found.
        frame: Left, top, width and height of what the photograph's picture shows, px of the upright original.
    """
    left, top, width, height = frame
    shapes = {
        kind: "".join(
            f'<polygon points="{" ".join(f"{x:g},{y:g}" for x, y in lesion.outline)}"/>'
            for lesion in findings.lesions
            if lesion.kind == kind.name
        )
        for kind in KINDS
    }
    coloured = "".join(f'<g fill="{_hex(kind)}" stroke="{_hex(kind)}">{drawn}</g>' for kind, drawn in shapes.items())
    line = width * _LINE_FRACTION
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="{left:g} {top:g} {width:g} {height:g}" preserveAspectRatio="none">'
        # beneath the colours a black edge: orange outlines would vanish on an orange fundus
        f'<g fill="none" stroke="#000" stroke-width="{3 * line:g}">{"".join(shapes.values())}</g>'
        f'<g fill-opacity="{_FILL_OPACITY}" stroke-width="{line:g}">{coloured}</g></svg>'
    )


def lesion_facts(findings: Findings) -> dict[str, Any]:
    """What the page states of the lesions: name, colour and number of each kind, and the second opinion."""
    counts = [(kind, findings.count(kind.name)) for kind in KINDS if kind.is_lesion]
    opinion = second_opinion(Counts.of(findings))
    return {
        "lesionCounts": [
            [kind.name.replace("_", " "), _hex(kind), number] for kind, number in counts if number is not None
        ],
        "opinion": opinion.to_text(),
        "opinionLimits": "; ".join(opinion.limits),
    }


def _hex(kind: Kind) -> str:
    return "#{:02x}{:02x}{:02x}".format(*kind.colour)
