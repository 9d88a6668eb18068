"""`dvc repro` from photographs to a bundle that scores a folder; then everything a team does with it."""

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dr_pipeline.code_version import module_hashes
from dr_pipeline.reporting.report_inputs import ReportFiles, read_sources
from dr_pipeline.stages import STAGES, stage_module
from dr_pipeline.tables.predictions import PREDICTIONS
from tests.e2e.conftest import Workspace, ran

SMALLS = {"train@small-0", "export@small", "validate@small", "latency@small"}
LOOKS = ["sources", "machine"]  # at what DVC cannot hash
AFTER = ("cascade", "select", "package", "test", "report")
# Sections of params.yaml without entries.
OFF = {"pretrain", "external", "lesion-canvases", "train-lesions", "validate-lesions", "export-lesions"}


def listed(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_first_run_runs_every_stage_once(first_run: tuple[Workspace, list[str]]) -> None:
    workspace, stages = first_run
    every = workspace.run("dvc", "stage", "list", "--name-only").split()
    assert sorted(stages) == sorted(every)


def test_every_photograph_of_the_data_set_is_accounted_for(workspace: Workspace) -> None:
    photographs = list((workspace.root / "data/phantom/default/photographs").iterdir())
    audited = listed(workspace.root / "data/audited.csv")
    split = listed(workspace.root / "data/splits.csv")
    assert len(photographs) == len(audited) == len(listed(workspace.root / "data/manifest.csv"))
    assert len(split) == sum(row["excluded"] == "0" for row in audited)


def test_the_audit_finds_what_the_phantom_planted(workspace: Workspace) -> None:
    truth = json.loads((workspace.root / "data/phantom/default/ground_truth.json").read_text())
    identical = json.loads((workspace.root / "reports/audit.json").read_text())["identical"]
    faults = truth["faults"]
    planted = [
        sorted((fault["original"], fault["copy"]))
        for kind in ("exact_duplicates", "cross_patient", "contradictions")
        for fault in faults[kind]
    ]
    assert len(planted) == 4
    assert sorted(identical) == sorted(planted)


def test_metrics_have_the_agreed_names(workspace: Workspace) -> None:
    shown = json.loads(workspace.run("dvc", "metrics", "show", "--json"))
    files = {name: file["data"] for name, file in shown[""]["data"].items()}
    qwk = files["reports/test.json"]["test"]["qwk"]
    assert set(qwk) >= {"value", "low", "high", "n"}
    assert files["reports/metrics.json"]["test"]["all"]["qwk"] == qwk
    for candidate in ("lite0", "small"):
        qwk = figures_of(shown, "validation")[candidate]["qwk"]
        assert qwk["low"] <= qwk["value"] <= qwk["high"]
        assert qwk["n"] > 10
        assert figures_of(shown, "latency")[candidate]["p95_ms"] > 0


def figures_of(shown: dict[str, object], kind: str) -> dict[str, dict[str, dict[str, float]]]:
    files = shown[""]["data"].values()  # type: ignore[index]
    return {name: value for file in files for name, value in file["data"].get(kind, {}).items()}


def test_plots_and_report_are_there_to_look_at(workspace: Workspace, tmp_path: Path) -> None:
    workspace.run("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    assert (tmp_path / "plots" / "index.html").stat().st_size > 1000
    page = (workspace.root / "reports/index.html").read_text()
    assert "not a medical device" in page.lower()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert 'src="data:image/' in page


def test_figures_of_a_former_candidate_do_not_reach_the_report(workspace: Workspace, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    shutil.copytree(workspace.root / "reports", reports)
    for kind, suffixes in (("training", ("-0.csv", "-0.json")), ("validation", (".json",)), ("latency", (".json",))):
        for suffix in suffixes:
            text = (reports / kind / f"lite0{suffix}").read_text()
            (reports / kind / f"former{suffix}").write_text(text.replace("lite0", "former"))
    sources = read_sources(
        ReportFiles(
            intake=reports / "intake.json",
            audit=reports / "audit.json",
            split=reports / "split.json",
            gradability=reports / "gradability.json",
            training=reports / "training",
            validation=reports / "validation",
            latency=reports / "latency",
            selection=reports / "selection.json",
            test=reports / "test.json",
            test_predictions=workspace.root / "data/test_predictions.csv",
            bundle=workspace.root / "data/release",
            machine=reports / "machine.json",
            external=reports / "external",
        )
    )
    assert set(sources.histories) == set(sources.training) == {"lite0-0", "small-0"}
    assert set(sources.validation) == set(sources.latency) == {"lite0", "small"}


def test_the_deployed_model_is_of_a_deployable_family(workspace: Workspace) -> None:
    assert json.loads((workspace.root / "reports/selection.json").read_text())["chosen"] == "lite0"


def test_a_second_run_does_nothing_but_look_at_sources_and_machine(workspace: Workspace) -> None:
    assert workspace.repro() == LOOKS


@contextmanager
def edited(path: Path, text: str) -> Iterator[None]:
    before = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def test_a_changed_docstring_re_runs_no_stage(workspace: Workspace) -> None:
    module = workspace.root / "dr_pipeline/fundus/field.py"
    text = module.read_text(encoding="utf-8")
    with edited(module, text.replace('"""', '"""Reworded. ', 1) + "# a comment\n"):
        assert ran(workspace.run("dvc", "repro", "split")) == ["code", "sources"]
        assert workspace.repro() == LOOKS
    assert workspace.repro() == LOOKS  # the run cache holds what `code` writes for the former text


def test_a_changed_line_concerns_exactly_the_stages_whose_closure_holds_it(workspace: Workspace) -> None:
    for name in ("metrics/kappa.py", "audit/findings.py"):  # others in tests/test_code_version.py
        module = workspace.root / "dr_pipeline" / name
        with edited(module, module.read_text(encoding="utf-8") + "CHANGED = 1\n"):
            workspace.run("dvc", "repro", "code")
            status = json.loads(workspace.run("dvc", "status", "--json"))
        concerned = {stage.split("@")[0] for stage, changes in status.items() if "data/code/" in str(changes)}
        held = {stage for stage in STAGES if name in module_hashes(stage_module(stage))}
        assert concerned == held - OFF, name
    assert workspace.repro() == LOOKS


def test_a_folder_with_rubbish_is_scored_without_losing_a_file(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "clinic" / "2026"
    folder.mkdir(parents=True)
    photographs = sorted((workspace.root / "data/phantom/default/photographs").iterdir())[:6]
    for photograph in photographs:
        shutil.copy(photograph, folder)
    (folder / "half.jpg").write_bytes(photographs[0].read_bytes()[:3000])
    (folder / "empty.png").touch()
    (folder / "=cmd.jpg").write_text("not a photograph")
    (tmp_path / "clinic" / "notes.txt").write_text("hello")
    out = tmp_path / "predictions.csv"
    said = workspace.run(
        "dr-pipeline", "score", str(tmp_path / "clinic"), "--bundle", "data/release", "--out", str(out)
    )
    rows = listed(out)
    assert tuple(rows[0]) == PREDICTIONS.columns
    assert len(rows) == 10
    assert sum(row["status"] == "failed" for row in rows) == 4
    assert all(row["reason"] for row in rows if row["status"] == "failed")
    assert "10 files = 10 rows" in said


def test_a_changed_byte_in_the_bundle_stops_scoring(workspace: Workspace, tmp_path: Path) -> None:
    bundle = tmp_path / "release"
    shutil.copytree(workspace.root / "data/release", bundle)
    workspace.run("dr-pipeline", "verify", str(bundle))
    model = bundle / "model.onnx"
    model.chmod(0o644)
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    said = workspace.run("dr-pipeline", "verify", str(bundle), check=False)
    assert "model.onnx" in said
    assert "Traceback" not in said


def test_what_dvc_runs_is_tracked_and_the_store_is_rebuilt_from_the_files(workspace: Workspace, tmp_path: Path) -> None:
    workspace.run("dvc", "repro", "--single-item", "--force", "select", tracked=True)
    store = workspace.root / "mlflow.db"
    store.rename(tmp_path / "first.db")
    assert tracked_runs(tmp_path / "first.db") == {"pipeline"}
    workspace.run("dr-pipeline", "track", "rebuild", tracked=True)
    assert tracked_runs(store) == {"lite0-0", "small-0", "pipeline"}


def tracked_runs(store: Path) -> set[str]:
    from mlflow import MlflowClient

    return {run.info.run_name for run in MlflowClient(f"sqlite:///{store}").search_runs(["1"])}


def test_a_colleague_pulls_the_same_state(workspace: Workspace, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    workspace.run("dvc", "remote", "add", "--local", "--default", "--force", "team", str(remote))
    workspace.run("dvc", "push")
    colleague = Workspace(tmp_path / "colleague")
    workspace.run("git", "clone", "-q", str(workspace.root), str(colleague.root))
    colleague.run("dvc", "remote", "add", "--local", "--default", "team", str(remote))
    colleague.run("dvc", "pull")
    assert colleague.repro() == LOOKS
    assert (colleague.root / "data/release/model.onnx").is_file()


def test_an_experiment_with_one_candidates_parameter_runs_only_its_stages(workspace: Workspace) -> None:
    output = workspace.run("dvc", "exp", "run", "-S", "candidates.small.learning_rate=0.001")
    assert set(ran(output)) >= SMALLS
    assert set(ran(output)) <= SMALLS | {*LOOKS, *AFTER}
    difference = json.loads(workspace.run("dvc", "metrics", "diff", "--json"))
    assert any("small" in path for path in difference.get("diff", difference))
