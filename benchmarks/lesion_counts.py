"""Counts, landmarks and the second opinion from the phantom's true masks: what the rules give where all is seen.

    python -m benchmarks.lesion_counts --patients 80 --out reports/benchmarks/lesion_counts.json

A phantom is generated, its masks are put on the canvas, and everything after the network runs on them as on its
probabilities. Proportions have their n and a 95 % interval by patient.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from dr_pipeline.files import write_json
from dr_pipeline.fundus.canvas import canvas_window, to_canvas
from dr_pipeline.fundus.decode import decode, decode_mask
from dr_pipeline.fundus.field import find_disc
from dr_pipeline.intake.phantom.generate import GROUND_TRUTH, LESION_MASKS, PHOTOGRAPHS, write_phantom
from dr_pipeline.lesions.count import Counting, count_lesions
from dr_pipeline.lesions.findings import Findings
from dr_pipeline.lesions.icdr import Counts, second_opinion
from dr_pipeline.lesions.kinds import FOVEA, KINDS, Kind, plane
from dr_pipeline.lesions.on_canvas import masks_to_canvas, um_per_px
from dr_pipeline.machine import describe_machine, usable_cores
from dr_pipeline.metrics.intervals import clustered_proportion
from dr_pipeline.params.phantom_params import Phantom, PlantedFaults
from dr_pipeline.schema import RESEARCH_USE

CANVAS_PX = 1024
FIELD_DEGREES = 45.0
IDRID = ("microaneurysms", "hemorrhages", "hard_exudates", "cotton_wool_spots", "optic_disc")
# As the generator counts; its exudates overlap, so they have no number of components.
COUNTED = {"microaneurysms": "microaneurysms", "hemorrhages": "haemorrhages", "cotton_wool_spots": "cotton_wool_spots"}
SHARES = (0.25, 0.2, 0.25, 0.15, 0.15)


def found_in(folder: Path, image_id: str, kinds: tuple[Kind, ...]) -> Findings:
    """What is found in the true masks of these kinds."""
    decoded = decode((folder / PHOTOGRAPHS / f"{image_id}.jpg").read_bytes(), CANVAS_PX)
    disc = find_disc(decoded.pixels)
    masks = decode_mask((folder / LESION_MASKS / f"{image_id}.png").read_bytes())
    on_canvas = masks_to_canvas(masks, disc.scaled(decoded.scale), CANVAS_PX, restore_aspect=True)
    names = [kind.name for kind in kinds]
    half = dict.fromkeys(names, 0.5)
    counting = Counting(kinds, half, dict.fromkeys(names, 1), half, um_per_px(CANVAS_PX, FIELD_DEGREES))
    planes = np.stack([plane(on_canvas, kind) for kind in kinds]).astype(np.float32)
    canvas = to_canvas(decoded.pixels, disc, CANVAS_PX)
    return count_lesions(planes, canvas, canvas_window(disc, CANVAS_PX).scaled(decoded.scale), counting)


def measure(folder: Path) -> dict[str, Any]:
    truth = json.loads((folder / GROUND_TRUTH).read_text())["photographs"]
    without_fovea = tuple(kind for kind in KINDS if kind != FOVEA)
    idrid = tuple(kind for kind in KINDS if kind.name in IDRID)
    exact, inside, widths = [], [], Counter[int]()
    errors: dict[str, list[float]] = {"disc_dd": [], "fovea_dd": []}
    sides, by_grade, methods = [], Counter[str](), Counter[str]()
    patients = [eye["patient"] for eye in truth.values()]

    def proportion(hits: list[bool]) -> dict[str, Any]:
        return clustered_proportion(np.array(hits), patients, 0.95).to_dict()

    counted: dict[str, list[bool]] = {kind: [] for kind in COUNTED}
    for image_id, eye in truth.items():
        findings = found_in(folder, image_id, without_fovea)
        opinion = second_opinion(Counts.of(findings))
        by_grade[f"true {eye['grade']}, rule {opinion.low:d}"] += 1
        exact.append(int(opinion.low) == eye["grade"])
        part = second_opinion(Counts.of(found_in(folder, image_id, idrid)))
        inside.append(part.low <= eye["grade"] <= part.high)
        widths[part.high - part.low] += 1
        for kind, name in COUNTED.items():
            counted[kind].append(abs((findings.count(kind) or 0) - eye["lesions"].get(name, 0)) <= 1)
        methods[findings.fovea_method] += 1
        for name, place, where in (
            ("disc_dd", findings.disc, eye["optic_disc"]),
            ("fovea_dd", findings.fovea, eye["fovea"]),
        ):
            distance = float("inf") if place is None else np.hypot(place[0] - where["x"], place[1] - where["y"])
            errors[name].append(float(distance) / eye["px_per_disc_diameter"])
        disc, fovea = findings.disc, findings.fovea
        known = disc is not None and fovea is not None
        sides.append(known and ("left" if fovea[0] > disc[0] else "right") == eye["eye"])
    return {
        "photographs": len(truth),
        "rule_equals_grade": proportion(exact),
        "rule_by_grade": dict(sorted(by_grade.items())),
        "interval_of_idrid_s_kinds_holds_grade": proportion(inside),
        "width_of_that_interval": {str(width): number for width, number in sorted(widths.items())},
        "counts_within_1": {kind: proportion(hits) for kind, hits in counted.items()},
        "disc_centre_within_0.5_dd": proportion([error <= 0.5 for error in errors["disc_dd"]]),
        "fovea_within_0.5_dd": proportion([error <= 0.5 for error in errors["fovea_dd"]]),
        "fovea_median_error_dd": round(float(np.median(errors["fovea_dd"])), 3),
        "fovea_methods": dict(methods),
        "side_right": proportion(sides),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=80)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--megapixels", type=float, default=1.0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    faults = PlantedFaults(**dict.fromkeys(PlantedFaults.model_fields, 0))
    params = Phantom(
        seed=args.seed, patients=args.patients, grade_shares=SHARES, megapixels=args.megapixels, faults=faults
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "phantom"
        write_phantom(params, folder, workers=usable_cores())
        figures = measure(folder)
    settings = {"seed": args.seed, "patients": args.patients, "megapixels": args.megapixels, "canvas_px": CANVAS_PX}
    document = {"research_use": RESEARCH_USE, "machine": describe_machine(), "settings": settings, **figures}
    write_json(args.out, document)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
