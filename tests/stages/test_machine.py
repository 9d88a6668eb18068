"""The stage machine: `select` runs again when the file that describes its target changes."""

from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.files import read_json
from dr_pipeline.scoring.latency_file import add_network
from tests.factories import REPOSITORY

FIGURES = dict.fromkeys(("mean_ms", "p50_ms", "p95_ms", "p99_ms"), 5.0) | {
    "n": 200,
    "threads": 1,
    "steps_ms": {"network": 1.0},
    "peak_memory_mib": 90.0,
    "photographs_sha256": "a" * 64,
}


def described(tmp_path: Path, target: str = "machine") -> dict[str, str]:
    stated = (REPOSITORY / "params.yaml").read_text()
    line = next(line for line in stated.splitlines() if line.startswith("  target:"))
    (tmp_path / "params.yaml").write_text(stated.replace(line, f"  target: {target}" if target else ""))
    arguments = ["--params", str(tmp_path / "params.yaml"), "--target", str(tmp_path / "target.json")]
    assert cli.main(["machine", "--out", str(tmp_path / "machine.json"), *arguments]) == 0
    return dict(read_json(tmp_path / "target.json"))


def test_this_machine_is_a_target_without_a_file(tmp_path: Path) -> None:
    assert described(tmp_path) == described(tmp_path, "") == {"target": "machine"}


def test_another_file_of_latencies_is_noticed(tmp_path: Path) -> None:
    clinic = tmp_path / "clinic.json"
    add_network(clinic, {"fingerprint": "f"}, "a", FIGURES)
    before = described(tmp_path, str(clinic))
    assert described(tmp_path, str(clinic)) == before
    add_network(clinic, {"fingerprint": "f"}, "b", FIGURES)
    assert described(tmp_path, str(clinic)) != before


@pytest.mark.parametrize("content", [None, "{}", "not JSON"])
def test_a_target_that_is_no_file_of_latencies_is_refused_before_anything_is_trained(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "clinic.json").write_text(content)
    with pytest.raises(AssertionError):
        described(tmp_path, str(tmp_path / "clinic.json"))
    assert "clinic.json" in capsys.readouterr().err
