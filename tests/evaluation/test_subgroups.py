"""Figures of subgroups: a group that is worse by construction is flagged, small ones are counted only."""

from dataclasses import replace

import numpy as np
import pytest

from dr_pipeline.errors import ParamsError
from dr_pipeline.evaluation.attributes import attributes_of
from dr_pipeline.evaluation.subgroups import UNKNOWN, subgroup_report
from dr_pipeline.metrics.kappa import quadratic_weighted_kappa
from dr_pipeline.schema import Eye, Status
from dr_pipeline.tables.canvas_index import CanvasRow
from dr_pipeline.tables.manifest import ManifestRow
from tests.factories.answers import graded_answers

DRAWN = {"replicates": 200, "seed": 3, "confidence": 0.95}
GRADES = np.tile(np.arange(5), 60)
GROUPS = [f"patient:{row // 2}" for row in range(300)]
CAMERAS = ["old" if row < 100 else "new" for row in range(300)]
SITES = ["hill" if row % 2 else "sea" for row in range(298)] + ["", ""]


def mixed_answers():
    """Photographs of the old camera are graded badly, and each tenth of them has no grade."""
    good, bad = graded_answers(GRADES, noise=0.2), graded_answers(GRADES, noise=1.5, seed=1)
    of_old = np.array(CAMERAS) == "old"
    status = tuple(Status.UNGRADABLE if row < 100 and row % 5 == 0 else Status.SCORED for row in range(300))
    return replace(
        good,
        status=status,
        grade=np.where(of_old, bad.grade, good.grade),
        probabilities=np.where(of_old[:, None], bad.probabilities, good.probabilities),
        referable=np.where(of_old, bad.referable, good.referable),
        referable_probability=np.where(of_old, bad.referable_probability, good.referable_probability),
    )


def report(**attributes: list[str]):
    return subgroup_report(mixed_answers(), GRADES, GROUPS, attributes, DRAWN, min_photographs=20)


def test_a_camera_that_is_worse_is_flagged_and_its_figures_are_its_own() -> None:
    result = report(camera=CAMERAS)
    rows = {row["value"][0]: row for row in result["rows"]}
    answers = mixed_answers()
    assert rows["old"]["figures"]["qwk"]["value"] == pytest.approx(
        quadratic_weighted_kappa(GRADES[:100], answers.grade[:100])
    )
    assert {"qwk", "referable_auc", "ungradable"} <= set(rows["old"]["worse"])
    assert rows["new"]["worse"] == []
    assert (rows["old"]["n"], rows["old"]["groups"], rows["old"]["by_grade"]["3"]) == (100, 50, 20)
    assert rows["old"]["figures"]["ungradable"]["value"] == pytest.approx(0.2)
    assert result["compared"] == 10
    assert result["flagged"] == len(rows["old"]["worse"])


def test_every_photograph_is_in_one_row_of_an_attribute_and_of_a_pair() -> None:
    result = report(camera=CAMERAS, site=SITES)
    for names in (["camera"], ["site"], ["camera", "site"]):
        assert sum(row["n"] for row in result["rows"] if row["by"] == names) == 300
    few = [row for row in result["rows"] if row["figures"] is None]
    assert {(row["value"][-1], row["n"]) for row in few} == {(UNKNOWN, 2)}


def test_one_value_is_no_subgroup_and_hundreds_are_not_listed() -> None:
    result = report(eye=[""] * 300, file=[str(row) for row in range(300)])
    assert result["one_value_only"] == ["eye"]
    assert result["not_listed"] == {"file": 250}
    assert len(result["rows"]) == 50
    assert (result["compared"], result["flagged"]) == (0, 0)


def test_attributes_come_from_the_manifest_and_from_the_photographs() -> None:
    sides, scores = [(800, 600), (2000, 1500), (4000, 3000)], [0.1, 0.5, 0.9]
    index = {
        str(row): CanvasRow(image_id=str(row), status=Status.SCORED, width=w, height=h, quality=score, camera="Canon")
        for row, ((w, h), score) in enumerate(zip(sides, scores, strict=True))
    }
    index["3"] = CanvasRow(image_id="3", status=Status.FAILED)
    manifest = {name: ManifestRow(image_id=name, path=name, eye=Eye.LEFT) for name in index}
    manifest["0"] = replace(manifest["0"], camera="Topcon")
    names = ("camera", "quality", "resolution", "eye")
    found = attributes_of(names, ["0", "1", "2", "3"], manifest, index)
    assert found == {
        "camera": ["Topcon", "Canon", "Canon", ""],
        "quality": ["lowest third", "middle third", "highest third", ""],
        "resolution": ["under 1 MP", "1 to 4 MP", "8 MP and more", ""],
        "eye": ["left"] * 4,
    }


@pytest.mark.parametrize("name", ["grade", "age"])
def test_what_is_no_attribute_is_refused(name: str) -> None:
    with pytest.raises(ParamsError, match=name):
        attributes_of((name,), [], {}, {})
