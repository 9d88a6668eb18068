import numpy as np
from numpy.typing import NDArray

from dr_pipeline.bundle.decision import Decided
from dr_pipeline.evaluation.eye_level import eye_figures, representative_images
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.tables.splits import SplitRow
from tests.factories.bundles import DECISION

PARAMS = Evaluation(bootstrap_replicates=100, bootstrap_seed=0, confidence=0.95, two_eye_fusion=False)


def decided_from(true: NDArray[np.int64]) -> Decided:
    return DECISION.apply(-4.0 * (np.arange(5) - true[:, None]) ** 2)


def row(name: str, patient: str, eye: str, grade: int, visit: str = "") -> SplitRow:
    return SplitRow(
        image_id=name,
        patient_id=patient,
        eye=eye,
        visit=visit,
        site="",
        duplicate_cluster="",
        group=f"patient:{patient}" if patient else f"photograph:{name}",
        grade=grade,
        split="test",
        fold=None,
    )


ROWS = [
    row("a1", "A", "left", 0),
    row("a2", "A", "left", 2),
    row("a3", "A", "right", 1),
    row("b1", "B", "left", 4),
    row("b2", "B", "left", 4),
    row("x", "", "left", 3),
]


def test_the_worst_gradable_photograph_speaks() -> None:
    statuses = ["scored", "scored", "scored", "scored", "ungradable", "scored"]
    expected = np.array([0.2, 1.9, 0.6, 3.1, 3.9, 3.0])
    assert representative_images(ROWS, statuses, expected) == {
        ("A\0", "left"): (1, [0, 1]),
        ("A\0", "right"): (2, [2]),
        ("B\0", "left"): (3, [3, 4]),
    }


def test_where_no_photograph_is_gradable_the_worst_of_all_speaks() -> None:
    statuses = ["scored"] * 3 + ["ungradable"] * 2 + ["scored"]
    assert representative_images(ROWS, statuses, np.arange(6.0))["B\0", "left"] == (4, [3, 4])


def test_an_eyes_true_grade_is_the_worst_of_its_photographs() -> None:
    true = np.array([one.grade for one in ROWS])
    found = eye_figures(decided_from(true), true, ROWS, ["scored"] * 6, PARAMS)
    assert (found["eyes"], found["eyes_with_several_photographs"], found["eyes_without_gradable_photograph"]) == (
        3,
        2,
        0,
    )
    assert found["n"] == 3
    assert found["qwk"]["value"] == 1.0
    assert sum(map(sum, found["confusion"])) == 3
    assert found["confusion"][2][2] == found["confusion"][1][1] == found["confusion"][4][4] == 1


def test_without_patients_there_are_no_eyes() -> None:
    true = np.array([3])
    assert eye_figures(decided_from(true), true, ROWS[-1:], ["scored"], PARAMS) == {
        "eyes": 0,
        "eyes_with_several_photographs": 0,
        "eyes_without_gradable_photograph": 0,
    }


def test_an_eye_at_another_visit_answers_for_itself() -> None:
    rows = [row("then", "A", "left", 0, "2015"), row("now", "A", "left", 4, "2020")]
    assert len(representative_images(rows, ["scored"] * 2, np.array([0.1, 3.8]))) == 2
