"""`mlflow models serve` grades the bytes of photographs over HTTP, and reaches nothing but this machine."""

import base64
import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dr_pipeline.scoring.scorer import Scorer
from dr_pipeline.tracking.registry import MODEL_NAME, register
from dr_pipeline.tracking.store import Store
from tests.factories import REPOSITORY
from tests.factories.bundles import make_bundle, photograph
from tests.factories.mlflow_servers import free_port, loopback_server
from tests.factories.repository import Repository

pytestmark = pytest.mark.slow


def test_photographs_over_http(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> None:
    bundle = make_bundle(repository.root / "data" / "release")
    register(bundle)
    port, folder = free_port(), tmp_path_factory.mktemp("served")
    uri, env_manager = f"models:/{MODEL_NAME}@champion", ["--env-manager", "local"]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", uri, *env_manager, "--port", str(port)]
    environment = os.environ | {"MLFLOW_TRACKING_URI": Store(repository.root).uri}
    with loopback_server(command, folder, port, environment):
        _check_answers(bundle, port)
    assert "photograph" not in (folder / "server.log").read_text()


def _check_answers(bundle: Path, port: int) -> None:
    first, second = photograph(1), photograph(2)
    expected = [Scorer.from_bundle(bundle, threads=1).score(data) for data in (first, second)]

    def ask(body: Any, kind: str = "application/json") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        data = body if isinstance(body, bytes) else json.dumps(body)
        connection.request("POST", "/invocations", data, {"Content-Type": kind})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, json.loads(text, parse_constant=_no_constant) if text.startswith("{") else text

    records = [{"image": base64.b64encode(data).decode()} for data in (first, second, b"no photograph")]
    status, answer = ask({"dataframe_records": records})
    assert status == 200
    *scored, failed = answer["predictions"]
    for row, score in zip(scored, expected, strict=True):
        assert score.grading is not None
        assert (row["status"], row["sha256"], row["grade"]) == ("scored", score.sha256, score.grading.grade)
        assert [row[f"p{grade}"] for grade in range(5)] == pytest.approx(score.grading.probabilities, abs=1e-6)
        assert row["referable_probability"] == pytest.approx(score.grading.referable_probability, abs=1e-6)
    assert (failed["status"], failed["grade"], failed["needs_human"]) == ("failed", None, 1.0)
    assert failed["reason"].startswith("not a JPEG")
    assert ask(_documented_body(bundle.parent, first, second))[1]["predictions"] == scored
    for body in (
        {"dataframe_split": {"columns": ["image"], "data": [[record["image"]] for record in records]}},
        {"inputs": records},
        {"instances": records},
    ):
        assert [row["grade"] for row in ask(body)[1]["predictions"]] == [row["grade"] for row in answer["predictions"]]
    (row,) = ask({"dataframe_records": [{"path": str(bundle / "metadata.json")}]})[1]["predictions"]
    assert row["reason"] == "a server reads no paths: send the file's bytes as `image`"
    assert row["sha256"] == ""
    assert ask({"dataframe_records": [{"picture": "x"}]})[0] == 400
    assert ask({"photographs": records})[0] == 400
    assert ask(b"no JSON")[0] == 400
    assert ask(first, "image/jpeg")[0] == 415


def _documented_body(folder: Path, *photographs: bytes) -> bytes:
    """What the page's command prints for files."""
    paths = [folder / f"{number}.jpg" for number in range(len(photographs))]
    for path, data in zip(paths, photographs, strict=True):
        path.write_bytes(data)
    page = (REPOSITORY / "docs" / "how-to" / "champion.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"python -c '(.*?)' \\\n", page)
    return subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, check=True).stdout


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
