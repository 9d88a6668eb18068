"""Baselines that never see the retina find what is in geometry, camera and appearance, and nothing else."""

import numpy as np
import pytest

from dr_pipeline.bundle.decision import Decided, Decision
from dr_pipeline.errors import DataError
from dr_pipeline.evaluation.baselines import feature_baselines, majority_grade
from dr_pipeline.params.evaluation import Evaluation
from dr_pipeline.schema import Status
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.splits import SplitRow

pytestmark = pytest.mark.slow

PARAMS = Evaluation(bootstrap_replicates=100, bootstrap_seed=3, confidence=0.95, two_eye_fusion=False)


def data_set(shortcut: str) -> tuple[list[SplitRow], dict[str, CanvasRow]]:
    """Photographs whose grade shows in the width, the camera or the brightness, as `shortcut` names."""
    rng, rows, index = np.random.default_rng(0), [], {}
    for number in range(300):
        grade, part = int(rng.integers(5)), "test" if number % 3 == 0 else "development"
        seen = {name: grade if name == shortcut else int(rng.integers(5)) for name in ("width", "camera", "brightness")}
        image_id = f"{number:03}"
        fold = 0 if part == "development" else None
        rows.append(
            SplitRow(image_id=image_id, patient_id=image_id, group=image_id, grade=grade, split=part, fold=fold)
        )
        index[image_id] = CanvasRow(
            image_id=image_id,
            status=Status.SCORED,
            width=1000 + 10 * seen["width"],
            camera=f"camera {seen['camera']}",
            brightness=50.0 + seen["brightness"] if number % 50 else None,  # not measured in a few
        )
    return rows, index


def perfect(rows: list[SplitRow]) -> Decided:
    """The decisions of a model that is always right."""
    true = np.array([row.grade for row in rows])
    decision = Decision(1.0, (0.5, 1.5, 2.5, 3.5), 0.4, 0.1, {}, referable_curve=(3.0, -4.5))
    return decision.apply(-9.0 * (true[:, None] - np.arange(5)) ** 2)


@pytest.mark.parametrize(
    ("shortcut", "name"), [("width", "geometry"), ("camera", "camera"), ("brightness", "small_features")]
)
def test_a_shortcut_is_found_by_its_baseline_alone(shortcut: str, name: str) -> None:
    rows, index = data_set(shortcut)
    development = [row for row in rows if row.split == "development"]
    test = [row for row in rows if row.split == "test"]
    model = perfect(test)
    found = feature_baselines(development, test, index, model, PARAMS)
    assert set(found) == {"geometry", "camera", "small_features"}
    assert found[name]["qwk"]["value"] > 0.8
    assert found[name]["referable_auc"]["value"] > 0.9
    assert found[name]["model_minus_baseline"]["value"] == pytest.approx(1 - found[name]["qwk"]["value"])
    for other in set(found) - {name}:
        assert found[other]["qwk"]["value"] < 0.4
        assert found[other]["auc_model_minus_baseline"]["p_value"] < 0.001
        assert found[other]["auc_model_minus_baseline"]["low"] > 0.1
    assert found[name]["fitted_on"] == 200


def test_equal_features_or_one_grade_give_a_note() -> None:
    rows, index = data_set("width")
    same = {name: CanvasRow(image_id=name, status=Status.SCORED, width=9) for name in index}
    found = feature_baselines(rows[:100], rows[100:], same, perfect(rows[100:]), PARAMS)
    assert all("undefined" in baseline["note"] for baseline in found.values())
    zeros = [row for row in rows if row.grade == 0]
    found = feature_baselines(zeros, rows[:50], index, perfect(rows[:50]), PARAMS)
    assert "undefined" in found["geometry"]["note"]


def test_a_photograph_without_canvas_is_an_error() -> None:
    rows, index = data_set("width")
    del index[rows[7].image_id]
    with pytest.raises(DataError, match=f"1 photographs of the split .* such as '{rows[7].image_id}'"):
        feature_baselines(rows[:100], rows[100:], index, perfect(rows[100:]), PARAMS)


def test_the_majority_is_the_commonest_grade_and_the_lowest_of_equals() -> None:
    assert majority_grade([3, 1, 3, 0]) == 3
    assert majority_grade([4, 1, 4, 1]) == 1
