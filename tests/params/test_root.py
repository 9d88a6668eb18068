"""params.yaml as a whole: every fault is named, those across sections too."""

from pathlib import Path

import pytest
import yaml

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.root import load_params
from dr_pipeline.recipes.compose import recipe_text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  num_folds: 6", "  num_folds: 0", "split.num_folds: input should be greater"),
        (
            "    epochs: 10",
            "    epochs: 10\n    epoch: 3",
            "unknown key 'candidates.lite0.epoch' (did you mean 'epochs'?)",
        ),
        ("  lite0:", "  lite.0:", "candidates.lite.0: the name may have only a–z, 0–9 and _"),
        ("folds: [0]", "folds: [0, 6]", "folds: 6 is not in 0 … 5"),
        ("folds: [0]", "folds: [0, 0]", "names a fold twice"),
        ("folds: [0]", "folds: first", "folds: input should be a list, found 'first'"),
        ("  test: share", "  test: sites", "split.test_sites"),
        ("  adapter: synthetic", "  adapter: datalist", "dataset.datalist: the adapter datalist needs"),
        ("  min_score: 0.4", "  min_score: 2", "quality.min_score: "),
        ("  identical: report", "  identical: ignore", "audit.identical: "),
        ("    patients: 430", "    patients: 0", "phantom.default.patients: "),
    ],
)
def test_each_fault_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    document = yaml.safe_load(recipe_text("synthetic"))
    document["split"]["num_folds"] = 6
    document["candidates"] = {"lite0": {**document["candidates"]["lite0"], "epochs": 10}}
    document["phantom"]["default"]["patients"] = 430
    document["folds"] = [0]
    text = yaml.safe_dump(document, default_flow_style=False).replace("folds:\n- 0\n", "folds: [0]\n")
    # The dump sorts and indents by two: the edits fit it as they fit a hand-written file.
    assert text.count(old) >= 1
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(("validation", "known"), [("folds", 5), ("share", 0), ("official", 0)])
def test_one_validation_part_has_one_fold(tmp_path: Path, validation: str, known: int) -> None:
    document = yaml.safe_load(recipe_text("synthetic"))
    document["split"].update(validation=validation, num_folds=6)
    path = tmp_path / "params.yaml"
    document["folds"] = [known]
    path.write_text(yaml.safe_dump(document))
    load_params(path)
    document["folds"] = [known + 1]
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ParamsError, match=f"folds: {known + 1} is not in 0"):
        load_params(path)


def test_all_faults_are_listed_at_once(tmp_path: Path) -> None:
    document = yaml.safe_load(recipe_text("synthetic"))
    document["candidates"], document["phantom"], document["split"] = {}, [], 3
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    message = str(caught.value)
    assert "candidates: at least 1 needed" in message
    assert "phantom: input should be a mapping of names, found []" in message
    assert "split: " in message
