"""What a later stage must refuse is refused before the training."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.later_sections import require_later_sections
from dr_pipeline.recipes.compose import recipe_text


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def test_candidates_that_select_would_all_refuse_are_refused(tmp_path: Path) -> None:
    document = yaml.safe_load(recipe_text("synthetic"))
    require_later_sections(_write(tmp_path / "params.yaml", document))
    document["deployment"]["families"] = ["vit", "convnext"]
    document["candidates"] = {"lite0": document["candidates"]["lite0"]}
    path = _write(tmp_path / "params.yaml", document)
    with pytest.raises(ParamsError, match=r"families efficientnet, deployable are vit, convnext"):
        require_later_sections(path)


@pytest.mark.parametrize("section", ["evaluation", "operating_point", "latency", "deployment"])
def test_a_fault_in_a_section_of_a_later_stage_is_named(tmp_path: Path, section: str) -> None:
    document = yaml.safe_load(recipe_text("synthetic"))
    document[section]["unknown_key"] = 1
    with pytest.raises(ParamsError, match="unknown_key"):
        require_later_sections(_write(tmp_path / "params.yaml", document))
