"""The command: page, drift.json, history, MLflow run, exit codes; and the sentence at the end of `score`."""

import json
import os
import re
import stat
from pathlib import Path

import pytest

from dr_pipeline import cli
from dr_pipeline.bundle.identity import identify_bundle
from dr_pipeline.bundle.reference import Reference
from dr_pipeline.clinic.drift.glance import sentence
from dr_pipeline.clinic.drift.history import read_history
from dr_pipeline.errors import DataError
from dr_pipeline.schema import RESEARCH_USE
from dr_pipeline.tables.predictions import write_predictions
from tests.factories.bundles import make_bundle, photograph
from tests.factories.drift import draw_rows, drift_of, make_reference, observe
from tests.factories.review_pages import browser


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made") / "release", reference=make_reference())


def table(folder: Path, bundle: Path, name: str, seed: int, **changes) -> Path:
    path = folder / name
    write_predictions(path, draw_rows(seed, 80, bundle_id=identify_bundle(bundle).bundle_id, **changes))
    return path


def drift(predictions: Path, bundle: Path, out: Path, *options: str) -> int:
    return cli.main(["drift", str(predictions), "--bundle", str(bundle), "--out", str(out), *options])


def test_three_batches_page_history_and_json(bundle, tmp_path, capsys):
    history = tmp_path / "kept" / "history.jsonl"
    for number, brighter in enumerate((0, -8, -20)):
        path = table(tmp_path, bundle, f"week-{number}.csv", number + 2, brighter=brighter)
        assert drift(path, bundle, tmp_path / str(number), "--history", str(history), "--name", f"<week> {number}") == 0
    said = capsys.readouterr().out
    assert "160 photographs of 80 patients: stable" in said
    assert "WARNING, drift; drift of brightness" in said
    assert said.count(RESEARCH_USE) == 3
    assert [str(entry.verdict) for entry in read_history(history)][::2] == ["stable", "drift"]
    page = (tmp_path / "2" / "index.html").read_text()
    assert RESEARCH_USE in page
    assert "&lt;week&gt; 2" in page
    assert "<week>" not in page
    assert page.count("<circle") == 3 * 12
    assert not re.search(r"(src|href)=|<script|url\(|@import", page)
    result = json.loads((tmp_path / "2" / "drift.json").read_text())
    assert result["verdict"] == "drift"
    assert {each["of"] for each in result["comparisons"]} == {"all", "camera", "site"}
    for path in (history, tmp_path / "2" / "index.html", tmp_path / "2" / "drift.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # The same table again is the same batch.
    assert drift(tmp_path / "week-2.csv", bundle, tmp_path / "2", "--history", str(history)) == 0
    assert len(read_history(history)) == 3


@pytest.mark.slow
def test_the_page_is_accessible_at_both_widths_and_makes_no_request(bundle, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe: absent").Axe()
    path = table(tmp_path, bundle, "p.csv", 2, brighter=-20)
    assert drift(path, bundle, tmp_path / "out", "--history", str(tmp_path / "h")) == 0
    with browser() as chromium:
        for width in (1440, 390):
            page = chromium.new_page(viewport={"width": width, "height": 900})
            requests = []
            page.on("request", lambda request, seen=requests: seen.append(request.url))
            page.goto((tmp_path / "out" / "index.html").as_uri())
            violations = axe.run(page, options={"preload": False}).response["violations"]
            assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert [url for url in requests if not url.startswith("file:")] == []


def test_no_patient_is_named(bundle, tmp_path, capsys):
    path = table(tmp_path, bundle, "p.csv", 2, patient_id="Secret^Name")
    assert drift(path, bundle, tmp_path / "out", "--history", str(tmp_path / "h")) == 0
    captured = capsys.readouterr()
    written = [file.read_text() for file in (*(tmp_path / "out").iterdir(), tmp_path / "h")]
    assert not any("Secret" in text for text in (*written, captured.out, captured.err))


@pytest.mark.parametrize(("fail_on", "code"), [("watch", 2), ("drift", 2), ("", 0)])
def test_a_scheduler_can_ask_for_an_exit_code(bundle, tmp_path, capsys, fail_on, code):
    path = table(tmp_path, bundle, "p.csv", 2, brighter=-20)
    options = ["--fail-on", fail_on] if fail_on else []
    assert drift(path, bundle, tmp_path / "out", *options) == code
    assert (tmp_path / "out" / "index.html").is_file()
    if code:
        assert "drift of brightness" in capsys.readouterr().err


def test_a_bundle_without_a_reference_says_so_and_an_earlier_table_can_stand_for_it(tmp_path, capsys):
    without = make_bundle(tmp_path / "release")
    path = table(tmp_path, without, "p.csv", 2, brighter=-20)
    assert drift(path, without, tmp_path / "out") == 2
    assert "--baseline" in capsys.readouterr().err
    baseline = table(tmp_path, without, "earlier.csv", 1)
    assert drift(path, without, tmp_path / "out", "--baseline", str(baseline)) == 0
    assert "drift of brightness" in capsys.readouterr().out


def test_another_bundle_s_table_and_a_foreign_history_are_refused(bundle, tmp_path, capsys):
    path = tmp_path / "p.csv"
    write_predictions(path, draw_rows(1, 30))
    assert drift(path, bundle, tmp_path / "out") == 2
    assert "was scored with bundle" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    path, history = table(tmp_path, bundle, "p.csv", 2), tmp_path / "history"
    for nonsense in ("nonsense\n", "{}\n", '{"schema_version": 9}\n', "[]\n"):
        history.write_text(nonsense)
        assert drift(path, bundle, tmp_path / "out", "--history", str(history)) == 2
        assert "line 1" in capsys.readouterr().err
        assert history.read_text() == nonsense
    with pytest.raises(DataError):
        read_history(history)


@pytest.mark.parametrize("name", ["ward \u2028 7", "ward\x85", "ward\udcff", "two\nlines"])
def test_a_history_is_read_again_whatever_its_batches_are_called(bundle, tmp_path, name):
    """U+2028 and U+0085 end a line for Python alone; a name of a file may be no UTF-8."""
    path, history = table(tmp_path, bundle, f"{name}.csv", 2), tmp_path / "history"
    other = table(tmp_path, bundle, "other.csv", 3)
    for batch in (path, other):
        assert drift(batch, bundle, tmp_path / "out", "--history", str(history)) == 0
    assert [entry.name for entry in read_history(history)] == [name.replace("\udcff", "\\xff"), "other"]


def test_a_history_that_is_no_text_is_one_message(bundle, tmp_path, capsys):
    history = tmp_path / "history"
    history.write_bytes(b"PAR1\xff\xfe")
    path = table(tmp_path, bundle, "p.csv", 2)
    assert drift(path, bundle, tmp_path / "out", "--history", str(history)) == 2
    assert "no history of drift: not UTF-8" in capsys.readouterr().err
    assert history.read_bytes() == b"PAR1\xff\xfe"


def test_a_full_disk_leaves_the_history_as_it_was(bundle, tmp_path, capsys, monkeypatch):
    history, write = tmp_path / "history", os.write
    assert drift(table(tmp_path, bundle, "a.csv", 2), bundle, tmp_path / "out", "--history", str(history)) == 0
    before = history.read_bytes()
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:10]))
    later = table(tmp_path, bundle, "b.csv", 3)
    assert drift(later, bundle, tmp_path / "out", "--history", str(history)) == 2
    assert f"No space left on device\n  where: {history}" in capsys.readouterr().err
    assert history.read_bytes() == before
    monkeypatch.undo()
    assert drift(later, bundle, tmp_path / "out", "--history", str(history)) == 0
    assert [entry.name for entry in read_history(history)] == ["a", "b"]


def test_parquet_and_jsonl_are_read(bundle, tmp_path, capsys):
    from dr_pipeline.scoring.outputs import Format, GrowingTable, encoder, write_parquet
    from dr_pipeline.tables.predictions import PREDICTIONS

    rows = draw_rows(2, 40, bundle_id=identify_bundle(bundle).bundle_id)
    write_parquet(tmp_path / "p.parquet", rows)
    GrowingTable(tmp_path / "p.jsonl", encoder(Format.JSONL, PREDICTIONS), rows).close()
    for name in ("p.parquet", "p.jsonl"):
        assert drift(tmp_path / name, bundle, tmp_path / "out") == 0
    first, second = capsys.readouterr().out.split("wrote")[2::2]
    assert first.split("\n")[1] == second.split("\n")[1]


@pytest.mark.slow
def test_a_batch_is_one_mlflow_run(bundle, tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    path = table(tmp_path, bundle, "p.csv", 2, brighter=-20)
    for _ in range(2):
        assert drift(path, bundle, tmp_path / "out", "--track") == 0
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.data.tags["verdict"] == "drift"
    assert run.data.metrics["drift/brightness.effect"] > 0.25
    assert {item.path for item in client.list_artifacts(run.info.run_id, "drift")} == {
        "drift/drift.json",
        "drift/index.html",
    }


def test_score_warns_where_the_photographs_look_unlike_development(tmp_path, capsys):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(24):
        (folder / f"{seed}.jpg").write_bytes(photograph(seed, side_px=96))
    bundle = make_bundle(tmp_path / "release", reference=make_reference())
    arguments = [str(folder), "--bundle", str(bundle), "--out", str(tmp_path / "p.csv"), "--workers", "1"]
    people = ["--pattern", "{patient}.*"]
    assert cli.main(["score", *arguments, *people]) == 0
    assert "warning: unlike the photographs of development: resolution, megapixels" in capsys.readouterr().err


def test_the_glance_is_silent_where_nothing_drifts(tmp_path):
    reference = make_reference()
    assert sentence(drift_of(tmp_path, draw_rows(2, 100), reference).batch, reference) == ""
    dark = drift_of(tmp_path, draw_rows(2, 100, brighter=-20), reference).batch
    assert "brightness (index" in sentence(dark, reference)
    strange = drift_of(tmp_path, draw_rows(2, 4, cameras=["Acme 1"]), reference).batch
    assert "8 from cameras that development did not have" in sentence(strange, reference)
    few = Reference.of(observe(draw_rows(1, 100, named=False)), {})
    assert sentence(drift_of(tmp_path, draw_rows(3, 4, brighter=-40), few).batch, few) == ""
