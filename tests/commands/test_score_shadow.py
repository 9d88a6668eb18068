"""A challenger beside the champion changes nothing of the champion's table, whatever becomes of it."""

import stat
from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.files import read_csv, read_json
from tests.factories.bundles import make_bundle, onnx_model, photograph

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, one damaged file, and two bundles."""
    root = tmp_path_factory.mktemp("clinic")
    make_bundle(root / "champion")
    make_bundle(root / "challenger", model=onnx_model(seed=5))
    (root / "day").mkdir()
    for number in range(4):
        (root / "day" / f"P{number // 2}_{number}.jpg").write_bytes(photograph(number))
    (root / "day" / "copy.jpg").write_bytes(photograph(0))
    (root / "day" / "broken.jpg").write_bytes(b"no photograph")
    return root


def score(root: Path, out: Path, *options: str) -> int:
    sources = ["score", str(root / "day"), "--bundle", str(root / "champion"), "--out", str(out), "--workers", "1"]
    return cli.main([*sources, *options])


def test_both_columns_and_the_champions_own_table(
    clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(clinic, tmp_path / "alone" / "p.csv") == 0
    capsys.readouterr()
    assert score(clinic, tmp_path / "both" / "p.csv", "--shadow", str(clinic / "challenger")) == 0
    shown = capsys.readouterr()
    assert (tmp_path / "alone" / "p.csv").read_bytes() == (tmp_path / "both" / "p.csv").read_bytes()
    names = {path.name for path in (tmp_path / "both").iterdir()}
    assert names == {
        "p.csv",
        "p.csv.manifest.json",
        "p.shadow.csv",
        "p.shadow.csv.manifest.json",
        "p.agreement.csv",
        "p.agreement.json",
    }
    for name in ("p.shadow.csv", "p.agreement.csv", "p.agreement.json"):
        assert stat.S_IMODE((tmp_path / "both" / name).stat().st_mode) == 0o600
    champion, challenger, both = (
        {row["path"]: row for row in read_csv(tmp_path / "both" / name)}
        for name in ("p.csv", "p.shadow.csv", "p.agreement.csv")
    )
    assert list(both) == list(champion) == list(challenger)
    for path, row in both.items():
        for name in ("grade", "status", "referable", "referable_probability", "bundle_id"):
            assert row[f"champion_{name}"] == champion[path][name]
            assert row[f"challenger_{name}"] == challenger[path][name]
    report = read_json(tmp_path / "both" / "p.agreement.json")
    assert report["files"] == 6
    assert report["statuses"]["failed"] == {"failed": 1}
    changed = sum(row["champion_grade"] != row["challenger_grade"] for row in both.values())
    assert report["changed_grades"]["up"] + report["changed_grades"]["down"] == changed > 0
    assert f"changed grades {changed}, fraction" in shown.out
    assert "P0_0" not in shown.err
    rows_before = (tmp_path / "both" / "p.agreement.csv").read_bytes()
    assert score(clinic, tmp_path / "both" / "p.csv", "--shadow", str(clinic / "challenger"), "--resume") == 0
    assert (tmp_path / "both" / "p.agreement.csv").read_bytes() == rows_before


def test_a_damaged_challenger_leaves_the_champions_table(
    clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = make_bundle(tmp_path / "broken", model=onnx_model(seed=6))
    (broken / "model.onnx").write_bytes(b"damaged")
    assert score(clinic, tmp_path / "p.csv", "--shadow", str(broken)) == 2
    message = capsys.readouterr().err
    assert "model.onnx was altered" in message
    assert "p.csv is whole; only the challenger has failed" in message
    assert len(read_csv(tmp_path / "p.csv")) == 6
    assert not (tmp_path / "p.agreement.csv").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--shadow", "champion"], "one bundle"),
        (["--shadow", "absent"], "there is no bundle"),
        (["--shadow", "challenger", "--num-shards", "2"], "leave out --num-shards"),
        (["--shadow", "challenger", "--watch"], "leave out --watch"),
        (["--shadow", "challenger", "--out", "day/p.csv"], "inside a folder that is scored"),
    ],
    ids=["itself", "none", "shard", "watch", "among the photographs"],
)
def test_what_cannot_be_is_said_before_anything_is_scored(
    clinic: Path,
    tmp_path: Path,
    options: list[str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(clinic)
    assert score(clinic, tmp_path / "p.csv", *options) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert not (clinic / "day" / "p.csv").exists()
