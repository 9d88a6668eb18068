"""What the findings of a photograph do not say, in words, wherever they are shown."""

from dr_pipeline.lesions.findings import Findings, FoveaMethod, Yardstick
from dr_pipeline.lesions.icdr import Counts, second_opinion
from dr_pipeline.schema import Eye


def limits_of(findings: Findings, *, stated: Eye = Eye.UNKNOWN) -> tuple[str, ...]:
    """The landmarks that were not found and what follows from it, then the limits of the second opinion.

    Args:
        findings: What was found.
        stated: The eye by the header or by whoever sent the photograph.
    """
    landmarks = []
    if findings.disc is None:
        landmarks.append("no optic disc: no quadrants, lengths by the declared field")
    elif findings.yardstick is Yardstick.FIELD:  # its place is taken, its size is not
        landmarks.append("optic disc unsure: lengths by the declared field")
    if findings.fovea_method is FoveaMethod.EXPECTED:
        landmarks.append("fovea by its expected place")
    if findings.fovea_method is FoveaMethod.NONE:
        landmarks.append("fovea not found: no quadrants, no distances")
    if Eye.UNKNOWN not in (stated, findings.side) and stated is not findings.side:
        landmarks.append(f"disc and fovea lie as in a {findings.side} eye, stated is a {stated} one: one is wrong")
    return (*landmarks, *second_opinion(Counts.of(findings)).limits)
