"""The commands of docs/how-to/team-setup.md: PostgreSQL, an artefact folder, and the registry's life through them."""

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from dr_pipeline import cli
from dr_pipeline.tracking.promotion_lock import promotion_lock
from dr_pipeline.tracking.registry import MODEL_NAME
from dr_pipeline.tracking.store import Store
from tests.factories import REPOSITORY
from tests.factories.mlflow_servers import free_port, loopback_server, postgres
from tests.factories.registry import TRUE, register_version, wrong
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow

ARTIFACTS = "/srv/mlflow/artifacts"
PAGE = (REPOSITORY / "docs" / "how-to" / "team-setup.md").read_text(encoding="utf-8")


def block(contains: str, places: Mapping[str, str] = MappingProxyType({})) -> str:
    """The page's shell block with a text, with this test's places instead of those of the page."""
    (found,) = (text for text in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if contains in text)
    for place, own in places.items():
        assert place in found, place
        found = found.replace(place, own)
    return found


def test_the_commands_of_the_page(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    with postgres() as (sockets, programs):
        database = block("createuser", {"runuser -u postgres -- ": f"{programs}/"})
        owner = {"PGHOST": str(sockets), "PGUSER": "postgres"}
        subprocess.run(["sh", "-ec", database], check=True, env=os.environ | owner, cwd="/", timeout=60)
        places = {
            "/srv/mlflow/venv/bin/mlflow": f"{sys.executable} -m mlflow",
            ARTIFACTS: str(folder / "artifacts"),
            "/var/run/postgresql": str(sockets),
            "5000": str(port),
        }
        server = ["sh", "-ec", block(f"--artifacts-destination {ARTIFACTS}", places)]
        with loopback_server(server, folder, port):
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # this machine may be busy
            client = block("track rebuild", {"5000": str(port)})
            for name, value in re.findall(r"export (\w+)=(\S+)", client):
                monkeypatch.setenv(name, value)
            first = register_version(repository, 1, wrong(8))
            second = register_version(repository, 2, TRUE)
            repository.train()
            _live_through(client, repository, first, second)
        _require_stored(sockets, folder / "artifacts")


def _live_through(client: str, repository: Repository, first: str, second: str) -> None:
    """Runs the client's commands and reads back what they did."""
    registry = Store(repository.root).client

    def bundle_of(alias: str) -> str:
        return str(registry.get_model_version_by_alias(MODEL_NAME, alias).tags["bundle_id"])

    assert (bundle_of("champion"), bundle_of("challenger")) == (first, second)
    commands = [shlex.split(line, comments=True)[1:] for line in client.splitlines() if line.startswith("dr-pipeline")]
    assert [words[0] for words in commands] == ["track", "promote", "rollback"]
    track, promote, rollback = commands
    assert cli.main(track) == 0
    assert {run.info.run_name for run in registry.search_runs([Store(repository.root).experiment_id])} == {
        "lite0-0",
        "pipeline",
    }
    with promotion_lock(registry, where="another machine"):
        assert cli.main(promote) == 2  # PostgreSQL keeps the lock's name unique
    assert cli.main(promote) == 0
    assert (bundle_of("champion"), bundle_of("previous")) == (second, first)
    assert cli.main(rollback) == 0
    assert (bundle_of("champion"), bundle_of("previous")) == (first, second)
    assert not (repository.root / "mlruns").exists()  # the server has the files


def _require_stored(sockets: Path, artifacts: Path) -> None:
    """The aliases lie in PostgreSQL and the files in the server's folder, which only its user reads."""
    import psycopg2

    connection = psycopg2.connect(host=str(sockets), user="mlflow", dbname="mlflow")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT alias, version FROM registered_model_aliases WHERE name = %s", (MODEL_NAME,))
        assert dict(cursor.fetchall()) == {"champion": 1, "previous": 2}
    connection.close()
    assert len(list(artifacts.rglob("model.onnx"))) == 2
    assert len(list(artifacts.rglob("predictions/*/test.csv"))) == 2
    assert stat.S_IMODE(artifacts.stat().st_mode) == 0o700
