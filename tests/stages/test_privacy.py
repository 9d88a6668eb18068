"""Folders with photographs and ids are closed where DVC runs a stage, since DVC makes its outputs readable for all."""

import stat
from pathlib import Path

import pytest

from dr_pipeline.cli import main
from dr_pipeline.stages.privacy import close_folders


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_stage_that_dvc_runs_closes_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    assert main(["machine", "--out", str(tmp_path / "reports" / "machine.json")]) == 0
    assert mode(tmp_path / "data") == 0o755  # by hand: a folder named in a path may be anybody's
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert main(["machine", "--out", str(tmp_path / "reports" / "machine.json")]) == 0
    assert (mode(tmp_path / "data"), mode(tmp_path / "reports")) == (0o700, 0o755)


def test_what_is_missing_or_shared_on_purpose_is_left_as_it_is(tmp_path: Path) -> None:
    close_folders(tmp_path)
    assert not list(tmp_path.iterdir())
    cache, scratch = tmp_path / ".dvc" / "cache", tmp_path / ".scratch"
    cache.mkdir(parents=True)
    scratch.mkdir()
    cache.chmod(0o2775)
    scratch.chmod(0o775)
    close_folders(tmp_path)
    assert (mode(cache), mode(scratch)) == (0o2775, 0o700)
