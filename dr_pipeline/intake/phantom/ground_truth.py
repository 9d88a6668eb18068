"""What is true of the photographs, for the ground-truth file that only tests and benchmarks read."""

from typing import Any

import numpy as np

from dr_pipeline.intake.phantom.cohort import EyeCase
from dr_pipeline.intake.phantom.faults import FaultPlan, Stray
from dr_pipeline.intake.phantom.render import Rendered

# A copy shows the original's eye, so its entry says the same, but for where things lie in its pixels.
GEOMETRY = ("width", "height", "retina", "optic_disc", "fovea", "px_per_disc_diameter")


def photograph_entry(case: EyeCase, rendered: Rendered) -> dict[str, Any]:
    """What is true of a photograph; pixels are those of the upright picture."""
    frame, anatomy = rendered.frame, rendered.anatomy
    optic_disc, fovea = (frame.to_px(np.array(point)) for point in ((0.0, 0.0), anatomy.fovea_dd))
    return {
        "patient": case.patient_id,
        "eye": str(case.eye),
        "grade": case.grade,
        "severity": round(case.severity, 4),
        "camera": case.camera,
        "site": case.site,
        "ungradable": case.ungradable,
        "lesions": rendered.lesion_counts,
        "width": frame.width_px,
        "height": frame.height_px,
        "retina": {"x": _px(frame.centre_px[0]), "y": _px(frame.centre_px[1]), "radius": _px(frame.radius_px)},
        "optic_disc": {"x": _px(optic_disc[0]), "y": _px(optic_disc[1])},
        "fovea": {"x": _px(fovea[0]), "y": _px(fovea[1])},
        "px_per_disc_diameter": _px(frame.px_per_dd),
    }


def copy_entry(original: dict[str, Any]) -> dict[str, Any]:
    """What is true of a copy of the photograph with the entry `original`."""
    return {key: value for key, value in original.items() if key not in GEOMETRY}


def stray_entry(stray: Stray) -> dict[str, Any]:
    """What is true of a picture that shows no fundus: it has neither grade nor lesions, whatever its label says."""
    return {
        "patient": stray.patient_id,
        "eye": "",
        "grade": None,
        "ungradable": True,
        "lesions": {},
        "not_fundus": stray.kind,
    }


def fault_lists(plan: FaultPlan) -> dict[str, list[dict[str, Any]]]:
    """Every planted fault by kind, under the names of `PlantedFaults`."""
    lists: dict[str, list[dict[str, Any]]] = {
        "exact_duplicates": [],
        "near_duplicates": [],
        "cross_patient": [],
        "contradictions": [],
    }
    for original, copy in sorted(plan.copies.items()):
        lists[copy.fault].append({"original": original, "copy": copy.image_id, "way": copy.way})
    turns = [{"image": image, "orientation": turn} for image, turn in sorted(plan.orientations.items())]
    swapped = [{"image": image} for image in sorted(plan.swapped)]
    strays = sorted(plan.strays.values(), key=lambda stray: stray.image_id)
    return {
        **lists,
        "exif_turns": turns,
        "colour_order": swapped,
        "not_fundus": [{"image": stray.image_id, "kind": stray.kind} for stray in strays],
    }


def _px(value: float) -> float:
    return round(float(value), 2)
