import sys
import tempfile
from pathlib import Path

import pytest

from dr_pipeline.logs import logger
from tests.factories.repository import Repository


@pytest.fixture
def repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Repository:
    """A repository that is the current folder, with tracking on and a store that has its tables already."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "")  # so that what the code sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    # A loaded model's own modules stay on it, where a process that a later test starts would find them first.
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(logger, "propagate", True)  # which the command line turns off
    monkeypatch.setenv("DR_PIPELINE_TRACKING", "on")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(empty_store)
    return Repository(tmp_path)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a store without runs: MLflow takes seconds to make its tables, so it does that once."""
    from dr_pipeline.tracking.store import silence_mlflow

    silence_mlflow()
    from mlflow.tracking.client import MlflowClient

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path.read_bytes()
