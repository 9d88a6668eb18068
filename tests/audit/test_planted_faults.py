"""Planted faults at small scale, through the stages as they are run: every one is found, and nothing else is.

The figures at scale, and among real photographs, are those of benchmarks/audit.py.
"""

from pathlib import Path

import cv2
import pytest

from benchmarks.audit import Run, against_brute_force, in_photographs, phantom_params, precision, recall, run_stages
from benchmarks.planted import Planted, phantom_truth
from dr_pipeline.files import read_json
from dr_pipeline.fundus.canvas import disc_radius_px

pytestmark = pytest.mark.slow

CANVAS_PX = 128
PER_KIND, PER_NEAR = 10, 3


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Planted, Run]:
    work = tmp_path_factory.mktemp("faulty")
    params = phantom_params(45, 0.12, per_kind=PER_KIND, per_near=PER_NEAR, seed=5)
    run = run_stages(work, phantom=params, canvas_px=CANVAS_PX)
    return phantom_truth(work / "data"), run


def test_every_planted_fault_is_found_as_what_it_is(faulty: tuple[Planted, Run]) -> None:
    found = recall(*faulty)
    assert sum(counts["planted"] for counts in found.values()) == 5 * PER_KIND + 5 * PER_NEAR
    assert {kind: counts for kind, counts in found.items() if counts["found"] < counts["planted"]} == {}


def test_nothing_else_is_found(faulty: tuple[Planted, Run]) -> None:
    counts = precision(*faulty)
    assert {kind: number for kind, number in counts.items() if number["false"]} == {}
    assert all(counts[kind]["findings"] for kind in ("identical", "near_duplicates", "contradictions", "cross_patient"))


def test_the_near_pairs_are_those_of_a_comparison_of_all(faulty: tuple[Planted, Run]) -> None:
    figures = against_brute_force(faulty[1])
    assert figures["equal"]
    assert figures["reported"] == 5 * PER_NEAR


def test_the_report_names_every_planted_picture(faulty: tuple[Planted, Run]) -> None:
    planted, run = faulty
    assert run.report["photographs"] == len(planted.origin)
    assert run.report["largest_cluster"] == 2
    assert set(run.store.rows) == set(planted.origin)


def test_turned_photographs_are_upright_on_their_canvases(faulty: tuple[Planted, Run]) -> None:
    planted, run = faulty
    truth = read_json(run.data / "ground_truth.json")["photographs"]
    assert len(planted.turned) == PER_KIND
    for name in planted.turned:
        row, entry = run.store.rows[name], truth[name]
        assert (row.width, row.height) == (entry["width"], entry["height"])
        centre, radius = (row.disc_x, row.disc_y), row.disc_radius
        # The optic disc, the brightest part of a retina, lies where the truth has it and not where a turn would put it.
        u, v = ((entry["optic_disc"][axis] - at) / radius for axis, at in zip("xy", centre, strict=True))
        green = cv2.GaussianBlur(run.store.read(name)[..., 1], (0, 0), 2)
        middle, px = CANVAS_PX / 2, disc_radius_px(CANVAS_PX)
        here, mirrored, upside_down = (
            int(green[round(middle + y * px), round(middle + x * px)]) for x, y in ((u, v), (-u, v), (-u, -v))
        )
        assert here > max(mirrored, upside_down) + 15


def test_faulty_copies_of_real_photographs_are_found(idrid_dir: Path, tmp_path: Path) -> None:
    figures = in_photographs(idrid_dir, tmp_path, originals=8, per_kind=2, canvas_px=CANVAS_PX)["idrid"]
    missed = {kind: counts for kind, counts in figures["recall"].items() if counts["found"] < counts["planted"]}
    assert missed == {}
    assert not any(counts["false"] for counts in figures["precision"].values())
