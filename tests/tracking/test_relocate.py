"""A repository that was moved, renamed or copied finds its runs' artifacts and writes to its own place."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dr_pipeline.cli import main
from dr_pipeline.tracking.relocate import follow_repository
from dr_pipeline.tracking.run import tracked
from dr_pipeline.tracking.store import EXPERIMENT, Store
from tests.factories import REPOSITORY
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow
NAMES = ["renamed", "with a blank", "größer-π", "a#b?c%20d", "deeper/inside"]


def move(root: Path, target: Path) -> Path:
    """Moves a repository with its store and its artifacts."""
    target.mkdir(parents=True)
    for path in root.iterdir():
        path.rename(target / path.name)
    return target


def artifacts(store: Store) -> list[str]:
    """The histories that the store finds, by content."""
    (run,) = store.client.search_runs([store.experiment_id], "tags.`dr.item` = 'lite0-0'")
    return [
        Path(store.client.download_artifacts(run.info.run_id, entry.path)).read_text()
        for entry in store.client.list_artifacts(run.info.run_id, "training")
        if entry.path.endswith("lite0-0.csv")
    ]


def recorded(repository: Repository) -> Repository:
    with tracked("train", candidate="lite0", fold=0):
        repository.train()
    return repository


@pytest.mark.parametrize("name", NAMES)
def test_a_moved_repository_finds_its_artifacts(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    recorded(repository)
    before = artifacts(Store(repository.root))
    assert len(before) == 1
    moved = move(repository.root, tmp_path_factory.mktemp("elsewhere") / name)
    assert artifacts(Store(moved)) == before
    again = move(moved, tmp_path_factory.mktemp("back") / "x")
    assert artifacts(Store(again)) == before


def test_a_copy_is_rebuilt_in_its_own_place(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In a process of its own, since MLflow caches where the artifacts of a run lie."""
    recorded(repository)
    files = sorted((repository.root / "mlruns").rglob("*"))
    copy = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(repository.root, copy)
    code = (
        "from dr_pipeline.tracking import layout, rebuild, store; from pathlib import Path; root = Path.cwd()\n"
        "rebuild.rebuild(store.Store(root), layout.Layout.at(root), lambda item: {'curves.png': b'picture'})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=copy, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, check=True)
    assert list((copy / "mlruns").rglob("curves.png"))
    assert sorted((repository.root / "mlruns").rglob("*")) == files


def test_the_stage_of_every_run_moves_the_places_without_mlflow(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(repository)
    moved = move(repository.root, tmp_path_factory.mktemp("elsewhere") / "renamed")
    monkeypatch.chdir(moved)
    assert main(["machine", "--out", "reports/machine.json"]) == 0
    with closing(sqlite3.connect(moved / "mlflow.db")) as connection:
        places = [place for (place,) in connection.execute("SELECT artifact_uri FROM runs")]
    assert places
    assert all(place.startswith(f"{moved.as_uri()}/mlruns/") for place in places)


def test_a_folder_whose_name_begins_with_the_former_one_is_another(tmp_path: Path) -> None:
    database = store(tmp_path, {EXPERIMENT: "file:///gone/dr/mlruns/dr_pipeline", "b": "file:///gone/dr2/else"})
    assert follow_repository(database, tmp_path) == 1
    assert experiments(database)["b"] == "file:///gone/dr2/else"


@pytest.mark.parametrize(
    "location",
    [
        "s3://bucket/mlruns/dr_pipeline",
        "mlflow-artifacts:/dr_pipeline",
        "file:///gone/big-disk/dr_pipeline",
        "file:///gone/mlruns/another-name",
        "mlruns/dr_pipeline",
        "",
    ],
)
def test_other_places_of_the_user_are_left_alone(tmp_path: Path, location: str) -> None:
    database = store(tmp_path, {EXPERIMENT: location})
    assert follow_repository(database, tmp_path) == 0
    assert experiments(database) == {EXPERIMENT: location}


def test_artifacts_that_still_lie_in_the_former_place_are_left_there(tmp_path: Path) -> None:
    """Only the database was moved."""
    (tmp_path / "former" / "mlruns" / EXPERIMENT).mkdir(parents=True)
    location = (tmp_path / "former" / "mlruns" / EXPERIMENT).as_uri()
    database = store(tmp_path, {EXPERIMENT: location})
    assert follow_repository(database, tmp_path) == 0
    (tmp_path / "mlruns" / EXPERIMENT).mkdir(parents=True)
    assert follow_repository(database, tmp_path) == 1
    assert experiments(database)[EXPERIMENT] == (tmp_path / "mlruns" / EXPERIMENT).as_uri()


def test_a_store_without_tables_or_without_a_file_is_left_as_it_is(tmp_path: Path) -> None:
    assert follow_repository(tmp_path / "mlflow.db", tmp_path) == 0
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db").touch()
    assert follow_repository(tmp_path / "mlflow.db", tmp_path) == 0


def store(folder: Path, places: dict[str, str]) -> Path:
    """A store of experiments only, as another version of MLflow might have it."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE experiments (name TEXT, artifact_location TEXT)")
        connection.executemany("INSERT INTO experiments VALUES (?, ?)", places.items())
    return folder / "mlflow.db"


def experiments(database: Path) -> dict[str, str]:
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT name, artifact_location FROM experiments"))
