"""Replay: rows scored again are equal; what differs is named by column, and not by the file's name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.errors import DataError
from dr_pipeline.files import sha256_bytes, sha256_file
from dr_pipeline.scoring.run_manifest import manifest_path
from dr_pipeline.tables.predictions import PREDICTIONS
from tests.factories.bundles import make_bundle, onnx_model, photograph
from tests.factories.scoring import score_in_process

pytestmark = pytest.mark.slow


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    root = tmp_path / "clinic"
    root.mkdir()
    for number in range(4):
        (root / f"Doe-{number}.jpg").write_bytes(photograph(number))
    (root / "=x.jpg").write_bytes(b"no photograph")
    return root


@pytest.fixture(params=[".csv", ".jsonl", ".parquet"])
def out(request, clinic: Path, bundle: Path, tmp_path: Path) -> Path:
    score_in_process(clinic, bundle, tmp_path / f"p{request.param}")
    return tmp_path / f"p{request.param}"


def replay(out: Path, bundle: Path, *arguments: object) -> int:
    return cli.main(["replay", str(out), "--bundle", str(bundle), *map(str, arguments)])


def test_rows_are_equal(out: Path, bundle: Path, clinic: Path, tmp_path: Path, capsys) -> None:
    assert replay(out, bundle) == 0
    assert "5 rows scored again, all equal" in capsys.readouterr().out
    moved = clinic.rename(tmp_path / "moved")
    assert replay(out, bundle, "--sample", 2) == 2
    assert "no such folder" in capsys.readouterr().err
    assert replay(out, bundle, "--sample", 2, "--source", moved) == 0
    assert replay(out, bundle, "--id", "Doe-3", "--source", moved) == 0
    assert "1 rows scored again" in capsys.readouterr().out


def test_a_photograph_that_was_changed_is_named_by_its_row(clinic: Path, bundle: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "p.csv"
    score_in_process(clinic, bundle, out)
    (clinic / "Doe-2.jpg").write_bytes(photograph(40))
    (clinic / "Doe-3.jpg").unlink()
    number = {row.image_id: number for number, row in enumerate(PREDICTIONS.read(out), start=1)}
    assert replay(out, bundle) == 2
    said = capsys.readouterr().err
    assert f"row {number['Doe-2']}: sha256" in said
    assert f"row {number['Doe-3']}: its file is not there any more" in said
    assert "Doe" not in said


def test_a_table_that_was_altered_is_found(clinic: Path, bundle: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "p.csv"
    score_in_process(clinic, bundle, out)
    rows = PREDICTIONS.read(out)
    PREDICTIONS.write(out, [rows[0], *(row for row in rows[:0:-1])])
    assert replay(out, bundle) == 0
    assert "its hash is not the manifest's" in capsys.readouterr().err


def test_another_bundle_row_or_table_is_refused(clinic: Path, bundle: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "p.csv"
    score_in_process(clinic, bundle, out)
    assert replay(out, make_bundle(tmp_path / "other", model=onnx_model(seed=1))) == 2
    assert replay(out, bundle, "--id", "nobody") == 2
    assert replay(tmp_path / "none.csv", bundle) == 2
    said = capsys.readouterr().err
    for sentence in ("was made with bundle", "no row of this id", "no manifest beside it"):
        assert sentence in said


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: text[:80], lambda text: "[1]", lambda text: "{}"])
def test_a_manifest_that_is_damaged_is_a_sentence(
    clinic: Path, bundle: Path, tmp_path: Path, capsys, damage: Callable[[str], str]
) -> None:
    out = tmp_path / "p.csv"
    score_in_process(clinic, bundle, out)
    manifest_path(out).write_text(damage(manifest_path(out).read_text()))
    assert replay(out, bundle) == 2
    assert "not the manifest of a run" in capsys.readouterr().err
    with pytest.raises(DataError, match="not the manifest of a run"):
        score_in_process(clinic, bundle, out, resume=True)


def test_the_manifest_is_evidence(clinic: Path, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    score_in_process(clinic, bundle, out)
    manifest = json.loads(manifest_path(out).read_text())
    rows = PREDICTIONS.read(out)
    assert manifest["outputs"] == {"p.csv": sha256_file(out)}
    assert manifest["bundle"]["sha256"] == {
        path.relative_to(bundle).as_posix(): sha256_file(path) for path in bundle.rglob("*") if path.is_file()
    }
    lines = "".join(f"{row.sha256}  {row.path.removeprefix(chr(39))}\n" for row in rows)
    assert manifest["inputs"]["sha256"] == sha256_bytes(lines.encode())
    assert (manifest["inputs"]["files"], manifest["rows"]["number"], manifest["rows"]["failed"]) == (5, 5, 1)
    assert manifest["machine"]["packages"]["onnxruntime"]
    assert manifest["sessions"][0]["start"] <= manifest["sessions"][0]["end"]
    assert "not a medical device" in manifest["use"].lower()
