"""The files of a team in an object store, as docs/how-to/team-setup.md has it: through the server, and directly."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.tracking.registry import MODEL_NAME
from dr_pipeline.tracking.run import tracked
from dr_pipeline.tracking.store import Store
from tests.factories import REPOSITORY
from tests.factories.mlflow_servers import free_port, loopback_server
from tests.factories.registry import TRUE, register_version, wrong
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow

boto3 = pytest.importorskip("boto3", reason="boto3: absent")
moto = pytest.importorskip("moto.server", reason="moto: absent")

PAGE = (REPOSITORY / "docs" / "how-to" / "team-setup.md").read_text(encoding="utf-8")
DATABASE = "postgresql+psycopg2://mlflow@/mlflow?host=/var/run/postgresql"  # test_team_server.py has one
KEYS = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "secret") | {"AWS_DEFAULT_REGION": "eu-central-1"}


@pytest.fixture
def bucket() -> Iterator[Any]:
    """The page's bucket in an S3 of its own."""
    server = moto.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    s3 = boto3.resource(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=KEYS["AWS_DEFAULT_REGION"],
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    place = {"LocationConstraint": KEYS["AWS_DEFAULT_REGION"]}
    yield s3.create_bucket(Bucket="mlflow", CreateBucketConfiguration=place)
    server.stop()


def line(contains: str, places: dict[str, str]) -> str:
    """The page's command with a text, with this test's places instead of those of the page."""
    (found,) = (text for text in re.findall(r"^(?:exec|mlflow) (?:.*\\\n)*.*$", PAGE, re.MULTILINE) if contains in text)
    for place, own in places.items():
        assert place in found, place
        found = found.replace(place, own)
    return found


def test_a_team_with_its_files_in_a_bucket(
    repository: Repository,
    bucket: Any,
    empty_store: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One machine has no keys and sends through the server; another one has keys and a direct experiment."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    (folder / "mlflow.db").write_bytes(empty_store)
    for name in (*KEYS, "MLFLOW_S3_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    keys = KEYS | {"MLFLOW_S3_ENDPOINT_URL": bucket.meta.client.meta.endpoint_url}
    places = {
        "/srv/mlflow/venv/bin/mlflow": f"{sys.executable} -m mlflow",
        DATABASE: f"sqlite:///{folder / 'mlflow.db'}",
        "5000": str(port),
    }
    server = line("--artifacts-destination s3://", places)
    with loopback_server(["sh", "-ec", server], folder, port, os.environ | keys) as address:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # this machine may be busy
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        first = register_version(repository, 1, wrong(8))
        with tracked("train", candidate="lite0", fold=0):
            repository.train()
        assert names(bucket, "proxied/") == (1, 1, 1)
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        _create_direct_experiment(monkeypatch)
        second = register_version(repository, 2, TRUE)
        assert names(bucket, "direct/") == (1, 1, 0)
        assert cli.main(["promote", "challenger"]) == 0
        champion = repository.root / "champion"
        assert cli.main(["track", "download", "champion", "--out", str(champion)]) == 0
        registry = Store(repository.root).client
        assert registry.get_model_version_by_alias(MODEL_NAME, "previous").tags["bundle_id"] == first
    assert identify_bundle(champion) == identify_bundle(repository.root / "data" / "release")
    assert identify_bundle(champion).bundle_id == second
    assert sum(names(bucket, "")) == sum(names(bucket, "proxied/")) + sum(names(bucket, "direct/")) == 5
    assert not (repository.root / "mlruns").exists()


def _create_direct_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.cli import cli as mlflow_cli

    words = shlex.split(line("experiments create", {}))[1:]
    mlflow_cli(words, standalone_mode=False)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", words[words.index("--experiment-name") + 1])


def names(bucket: Any, folder: str) -> tuple[int, int, int]:
    """How many networks, tables of graded photographs, and tables of a training's epochs lie in a folder."""
    keys = [one.key for one in bucket.objects.filter(Prefix=folder)]
    return tuple(sum(key.endswith(end) for key in keys) for end in ("/model.onnx", "/test.csv", "/lite0-0.csv"))  # type: ignore[return-value]
