"""What a later stage must refuse is refused before the training."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dr_pipeline.errors import ParamsError
from dr_pipeline.params.evaluation import Deployment
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


@pytest.mark.parametrize(
    ("entries", "declared", "network"),
    [((), None, None), (("own",), None, "own"), (("own", "public"), "public", "public")],
)
def test_the_network_for_lesions_is_the_declared_one_or_the_only_one(
    entries: tuple[str, ...], declared: str | None, network: str | None
) -> None:
    deployment = Deployment(
        families=("efficientnet",), latency_budget_ms=1.0, referable_sensitivity_floor=0.8, lesions=declared
    )
    assert deployment.lesion_network(entries) == network


@pytest.mark.parametrize(
    ("entries", "declared", "message"),
    [(["own", "public"], None, "there are 2: own, public"), (["own"], "owm", "did you mean 'own'"), ([], "own", "no")],
)
def test_a_network_for_lesions_that_is_not_clear_is_refused(
    tmp_path: Path, entries: list[str], declared: str | None, message: str
) -> None:
    document = yaml.safe_load(recipe_text("synthetic"))
    document["lesions"] = {name: {} for name in entries}
    document["deployment"]["lesions"] = declared
    with pytest.raises(ParamsError, match=message):
        require_later_sections(_write(tmp_path / "params.yaml", document))


@pytest.mark.parametrize("section", ["evaluation", "operating_point", "latency", "deployment"])
def test_a_fault_in_a_section_of_a_later_stage_is_named(tmp_path: Path, section: str) -> None:
    document = yaml.safe_load(recipe_text("synthetic"))
    document[section]["unknown_key"] = 1
    with pytest.raises(ParamsError, match="unknown_key"):
        require_later_sections(_write(tmp_path / "params.yaml", document))
