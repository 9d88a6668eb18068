"""Outlines of lesions as an SVG that covers a picture of the photograph, for pages."""

from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.kinds import KINDS, Kind

_LINE_FRACTION = 1 / 1200  # of the picture's width
_FILL_OPACITY = 0.3


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
    coloured = "".join(
        f'<g fill="{hex_colour(kind)}" stroke="{hex_colour(kind)}">{drawn}</g>' for kind, drawn in shapes.items()
    )
    line = width * _LINE_FRACTION
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="{left:g} {top:g} {width:g} {height:g}" preserveAspectRatio="none">'
        # beneath the colours a black edge: orange outlines would vanish on an orange fundus
        f'<g fill="none" stroke="#000" stroke-width="{2 * line:g}">{"".join(shapes.values())}</g>'
        f'<g fill-opacity="{_FILL_OPACITY}" stroke-width="{line:g}">{coloured}</g></svg>'
    )


def hex_colour(kind: Kind) -> str:
    """The kind's colour as CSS writes it, such as `#d55e00`."""
    return "#{:02x}{:02x}{:02x}".format(*kind.colour)
