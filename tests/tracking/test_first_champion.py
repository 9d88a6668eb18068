"""Several processes open an empty store and register at once: all are recorded, and one becomes the champion."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, local
from typing import Any

import pytest

from dr_pipeline.errors import EnvironmentProblem
from dr_pipeline.tracking import registry, store
from dr_pipeline.tracking.promotion_lock import promotion_lock
from dr_pipeline.tracking.register_bundle import register_bundle
from dr_pipeline.tracking.registry import CHAMPION, MODEL_NAME, ensure_champion
from dr_pipeline.tracking.store import Store
from tests.factories.bundles import make_bundle
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow


@pytest.fixture
def versions(repository: Repository) -> Store:
    """Two versions without files, and no champion."""
    opened = Store(repository.root)
    opened.client.create_registered_model(MODEL_NAME)
    for number in (1, 2):
        opened.client.create_model_version(MODEL_NAME, f"s3://nowhere/{number}")
    return opened


def champion(opened: Store) -> int | None:
    found = opened.client.get_registered_model(MODEL_NAME).aliases.get(CHAMPION)
    return None if found is None else int(found)


def test_of_two_that_find_no_champion_one_becomes_it(versions: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have looked before either goes on."""
    both_looked, thread, moved = Barrier(2), local(), []

    def has_champion(client: Any, real: Any = registry._has_champion) -> bool:
        found = bool(real(client))
        if not hasattr(thread, "looked"):
            thread.looked = True
            both_looked.wait(30)
        return found

    def register(number: str) -> None:
        mine = Store(versions.root)
        move = mine.client.set_registered_model_alias

        def counted(*arguments: Any) -> None:
            moved.append(number)
            move(*arguments)

        mine.client.set_registered_model_alias = counted
        ensure_champion(mine, number)

    monkeypatch.setattr(registry, "_has_champion", has_champion)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(register, "12"))
    assert len(moved) == 1
    assert champion(versions) == int(moved[0])


def test_a_registration_waits_for_a_promotion_and_leaves_its_champion(versions: Store) -> None:
    with ThreadPoolExecutor(1) as pool:
        with promotion_lock(versions.client, where="another machine") as held:
            waiting = pool.submit(ensure_champion, Store(versions.root), "1")
            with pytest.raises(TimeoutError):
                waiting.result(2)
            held()
            versions.client.set_registered_model_alias(MODEL_NAME, CHAMPION, "2")
        waiting.result(30)
    assert champion(versions) == 2


def test_a_registration_that_a_lock_kept_from_ending_is_ended_by_the_next(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(repository.root / "data" / "release")
    monkeypatch.setattr(registry, "_FIRST_CHAMPION_WAIT_S", 0.0)
    opened = Store(repository.root)
    with promotion_lock(opened.client, where="here"), pytest.raises(EnvironmentProblem, match="under way") as refused:
        register_bundle(opened, bundle)
    assert "--break-lock" in refused.value.todo
    assert champion(opened) is None
    again = register_bundle(opened, bundle)
    assert (again.version, again.is_new) == ("1", False)
    assert champion(opened) == 1


def test_processes_that_open_an_empty_store_at_once_all_do(repository: Repository) -> None:
    """Without the lock two make MLflow's tables, and one fails or both do."""
    (repository.root / "mlflow.db").unlink()
    code = (
        "from pathlib import Path; from dr_pipeline.tracking.store import Store; print(Store(Path.cwd()).experiment_id)"
    )
    opening = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=repository.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=120) for process in opening]
    assert [process.returncode for process in opening] == [0, 0, 0], answers
    assert {answer.strip() for answer, _ in answers} == {Store(repository.root).experiment_id}


def test_a_store_that_another_does_not_end_opening_is_an_error(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_OPENING_S", 0.2)
    with (
        store._opened_alone(store.tracking_uri(repository.root)),
        pytest.raises(EnvironmentProblem, match="has been opening the MLflow store") as refused,
    ):
        Store(repository.root)
    assert refused.value.where == str(repository.root / "mlflow.db")
    Store(repository.root)


@pytest.mark.parametrize("keep", [0.1, None])
def test_a_damaged_database_is_one_message(repository: Repository, keep: float | None) -> None:
    database = repository.root / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(b"no database" * 100 if keep is None else whole[: int(len(whole) * keep)])
    with pytest.raises(EnvironmentProblem, match="the MLflow store cannot be read") as refused:
        Store(repository.root)
    assert refused.value.where == str(database)
    assert "track rebuild" in refused.value.todo


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "https://mlflow.example", "file:///mlruns"])
def test_what_is_no_database_file_has_no_lock(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with store._opened_alone(uri), store._opened_alone(uri):
        assert list(tmp_path.iterdir()) == []
