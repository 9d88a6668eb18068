"""Every shipped recipe is valid, and the command loses nothing of the user's."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr_pipeline.adapter_registry import SHIPPED, help_text
from dr_pipeline.commands import recipe
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import sha256_bytes, sha256_file
from dr_pipeline.params.root import load_params
from dr_pipeline.recipes import catalogue
from dr_pipeline.stages.outcome import Outcome
from tests.factories import REPOSITORY

REAL = [name for name in catalogue.NAMES if name != "synthetic"]
# Data sets whose authors divided them, and whose division published figures rest on.
OFFICIAL = ["eyepacs", "ddr", "deepdrid"]


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    folder = tmp_path / "clinic's photographs"
    folder.mkdir()
    return folder


def run(
    tmp_path: Path,
    name: str,
    *,
    root: Path | None = None,
    weights: Path | None = None,
    data: Path | None = None,
    only: list[str] | None = None,
) -> Outcome:
    params, data = tmp_path / "params.yaml", data or tmp_path / "data"
    return recipe.run(argparse.Namespace(name=name, root=root, weights=weights, params=params, data=data, only=only))


def written(tmp_path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    return document


def test_names_are_the_shipped_files() -> None:
    assert sorted(catalogue.NAMES) == sorted(path.stem for path in Path(catalogue.__file__).parent.glob("*.yaml"))


def test_the_repository_holds_the_synthetic_recipe() -> None:
    assert catalogue.recipe_text("synthetic") == (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_recipe_passes_every_model(name: str) -> None:
    load_params(Path(catalogue.__file__).parent / f"{name}.yaml")


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_every_line_of_values_in_a_recipe_is_as_wide_as_an_editor(name: str) -> None:
    assert max(map(len, catalogue.recipe_text(name).splitlines())) <= 120


@pytest.mark.parametrize("name", REAL)
def test_a_real_recipe_reads_through_the_link_and_draws_no_phantom(name: str) -> None:
    document = yaml.safe_load(catalogue.recipe_text(name))
    assert document["dataset"]["adapter"] == name
    assert document["dataset"]["root"] == "data/source"
    assert document["phantom"] == {}
    assert {candidate["weights"] for candidate in document["candidates"].values()} == {"timm"}


def test_aptos2019_is_the_case_study_with_our_efficientnets_beside_it() -> None:
    document = yaml.safe_load(catalogue.recipe_text("aptos2019"))
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
def test_official_parts_are_kept_and_what_straddles_them_is_left_out(name: str) -> None:
    split = yaml.safe_load(catalogue.recipe_text(name))["split"]
    assert (split["test"], split["validation"], split["on_group_conflict"]) == ("official", "official", "leave_out")


def test_every_adapter_with_grades_has_a_recipe() -> None:
    assert set(SHIPPED) - set(catalogue.NAMES) == {"messidor2_abramoff"}


@pytest.mark.parametrize("name", REAL)
def test_a_recipe_whose_layout_was_not_tried_says_so(name: str) -> None:
    text = " ".join(catalogue.recipe_text(name).split("\ndataset:")[0].replace("\n#", " ").split())
    line = next(line for line in help_text().splitlines() if line.split()[0:1] == [name])
    assert ("not tried on the real download" in text) == ("not tried on the real download" in line)


@pytest.mark.parametrize("name", REAL)
def test_a_real_recipe_links_the_root_and_keeps_its_comments(tmp_path: Path, clinic: Path, name: str) -> None:
    outcome = run(tmp_path, name, root=clinic)
    assert (tmp_path / "data" / "source").readlink() == clinic
    assert written(tmp_path)["dataset"]["root"] == f"{tmp_path}/data/source"
    assert "# " in (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert outcome.next_command == "dvc repro"


def test_with_the_repositorys_own_folder_the_text_is_the_shipped_one(
    tmp_path: Path, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path, "idrid", root=clinic, data=Path("data"))
    assert (tmp_path / "params.yaml").read_text(encoding="utf-8") == catalogue.recipe_text("idrid")


@pytest.mark.parametrize("name", REAL)
def test_weights_from_a_file_go_to_the_marked_candidate_only(tmp_path: Path, clinic: Path, name: str) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"w")
    run(tmp_path, name, root=clinic, weights=tmp_path / "mine.safetensors")
    weights = {key: candidate["weights"] for key, candidate in written(tmp_path)["candidates"].items()}
    assert weights.pop("lite0") == f"file:{tmp_path}/data/weights#{sha256_bytes(b'w')}"
    assert set(weights.values()) <= {"timm"}
    assert (tmp_path / "data" / "weights").read_bytes() == b"w"


def test_weights_in_shards_are_hashed_with_their_index(tmp_path: Path, clinic: Path) -> None:
    store, shard = tmp_path / "store", "tf_efficientnet_lite0-00001-of-00001.safetensors"
    store.mkdir()
    (store / shard).write_bytes(b"w")
    index = store / "tf_efficientnet_lite0.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_stem.weight": shard}}))
    wanted = sha256_bytes("".join(f"{sha256_file(path)}  {path.name}\n" for path in (index, store / shard)).encode())
    for given in (store, index):
        run(tmp_path, "idrid", root=clinic, weights=given)
        _, _, digest = written(tmp_path)["candidates"]["lite0"]["weights"].partition("#")
        assert digest == wanted


def test_weights_from_a_folder_are_the_one_file_of_that_model(tmp_path: Path, clinic: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with pytest.raises(DataError, match=r"tf_efficientnet_lite0\*\.safetensors is wanted in the folder, found none"):
        run(tmp_path, "idrid", root=clinic, weights=store)
    (store / "tf_efficientnet_lite0.x.safetensors").write_bytes(b"w")
    (store / "resnet50.safetensors").write_bytes(b"r")
    run(tmp_path, "idrid", root=clinic, weights=store)
    value = written(tmp_path)["candidates"]["lite0"]["weights"]
    path, _, digest = value.removeprefix("file:").partition("#")
    assert Path(path).read_bytes() == b"w"
    assert digest == sha256_bytes(b"w")
    (store / "tf_efficientnet_lite0.y.safetensors").write_bytes(b"w")
    with pytest.raises(DataError, match="2 in all"):
        run(tmp_path, "idrid", root=clinic, weights=store)


def test_links_are_replaced_and_real_folders_never(tmp_path: Path, clinic: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "source").symlink_to(tmp_path / "nowhere")
    run(tmp_path, "idrid", root=clinic)
    assert (data / "source").readlink() == clinic
    (data / "source").unlink()
    (data / "source").mkdir()
    (data / "source" / "precious.jpg").write_bytes(b"p")
    before = (tmp_path / "params.yaml").read_bytes()
    with pytest.raises(DataError, match="left alone"):
        run(tmp_path, "folder", root=clinic)
    assert (data / "source" / "precious.jpg").read_bytes() == b"p"
    assert (tmp_path / "params.yaml").read_bytes() == before


def test_an_edited_file_is_kept_and_said_so(tmp_path: Path, clinic: Path) -> None:
    params, kept = tmp_path / "params.yaml", tmp_path / "params.yaml.bak"
    run(tmp_path, "idrid", root=clinic)
    (tmp_path / "w.safetensors").write_bytes(b"w")
    run(tmp_path, "idrid", root=clinic, weights=tmp_path / "w.safetensors")
    run(tmp_path, "idrid", root=clinic)
    assert not kept.exists()  # recipes, only fitted to their links: nothing to lose
    params.write_text(params.read_text(encoding="utf-8").replace("weights: timm", "weights: none"))
    mine = params.read_bytes()
    outcome = run(tmp_path, "idrid", root=clinic)
    assert "params.yaml is kept as params.yaml.bak" in outcome.headline
    assert kept in outcome.wrote
    params.write_bytes(mine + b"# more\n")
    run(tmp_path, "idrid", root=clinic)
    assert kept.read_bytes() == mine
    assert (tmp_path / "params.yaml.bak2").read_bytes() == mine + b"# more\n"
    params.write_bytes(mine)
    assert kept in run(tmp_path, "idrid", root=clinic).wrote  # kept already; no third copy
    assert not (tmp_path / "params.yaml.bak3").exists()


def test_wrong_arguments_say_what_to_give(tmp_path: Path, clinic: Path) -> None:
    with pytest.raises(ParamsError, match="recipe idrid --root PATH"):
        run(tmp_path, "idrid")
    with pytest.raises(ParamsError, match="takes no --root"):
        run(tmp_path, "synthetic", root=clinic)
    with pytest.raises(ParamsError, match=r"takes --weights\n  to do: leave --weights out"):
        run(tmp_path, "synthetic", weights=clinic)
    with pytest.raises(DataError, match="--root is no folder"):
        run(tmp_path, "idrid", root=tmp_path / "nowhere")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        run(tmp_path, "idrid", root=clinic, weights=tmp_path / "nowhere")
    assert not (tmp_path / "params.yaml").exists()
    assert not (tmp_path / "data").exists()


def test_synthetic_needs_no_links(tmp_path: Path) -> None:
    run(tmp_path, "synthetic")
    assert (tmp_path / "params.yaml").read_bytes() == (REPOSITORY / "params.yaml").read_bytes()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("old", "new", "told"),
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
def test_check_document_names_each_fault(tmp_path: Path, old: str, new: str, told: str) -> None:
    document = yaml.safe_load(catalogue.recipe_text("synthetic"))
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
    assert told in str(caught.value)


@pytest.mark.parametrize(("validation", "known"), [("folds", 5), ("share", 0), ("official", 0)])
def test_one_validation_part_has_one_fold(tmp_path: Path, validation: str, known: int) -> None:
    document = yaml.safe_load(catalogue.recipe_text("synthetic"))
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
    document = yaml.safe_load(catalogue.recipe_text("synthetic"))
    document["candidates"], document["phantom"], document["split"] = {}, [], 3
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    message = str(caught.value)
    assert "candidates: at least 1 needed" in message
    assert "phantom: input should be a mapping of names, found []" in message
    assert "split: " in message


@pytest.mark.parametrize("name", catalogue.NAMES)
def test_timm_knows_every_model(name: str) -> None:
    import timm

    for candidate in yaml.safe_load(catalogue.recipe_text(name))["candidates"].values():
        assert timm.is_model(candidate["model"])
        assert candidate["weights"] != "timm" or timm.is_model_pretrained(candidate["model"])


def test_only_some_candidates_are_kept_with_their_comments(tmp_path: Path, clinic: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"w")
    run(tmp_path, "aptos2019", root=clinic, weights=tmp_path / "w.safetensors", only=["resnet50", "lite0"])
    assert list(written(tmp_path)["candidates"]) == ["lite0", "resnet50"]
    assert written(tmp_path)["candidates"]["lite0"]["weights"].startswith("file:")
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert "# --weights tf_efficientnet_lite0" in text
    shipped = catalogue.recipe_text("aptos2019")
    assert text[text.index("\nfolds:") :] == shipped[shipped.index("\nfolds:") :]
    assert catalogue.with_candidates(shipped, list(yaml.safe_load(shipped)["candidates"])) == shipped
    with pytest.raises(ParamsError, match="no candidate 'lite1'"):
        run(tmp_path, "aptos2019", root=clinic, only=["lite1"])
